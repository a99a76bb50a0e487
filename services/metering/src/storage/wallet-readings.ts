import type { DataSource } from "typeorm";
import { micros } from "../domain/money.ts";
import type { AccountMoney, WalletReadings } from "../domain/wallet-readings.ts";

interface ReadingRow {
  readonly account_id: string;
  readonly uses_parent_balance: boolean;
  /** NULL, as all that follows, for an account without one. */
  readonly id: string | null;
  readonly currency: string;
  readonly balance: string;
  readonly credit_limit: string;
  readonly credit_given: string;
  readonly leased: string;
  readonly leased_to_holder: string;
}

export class PostgresWalletReadings implements WalletReadings {
  readonly #dataSource: DataSource;

  constructor(dataSource: DataSource) {
    this.#dataSource = dataSource;
  }

  async readMoney(nodeIds: readonly string[], holder: string): Promise<AccountMoney[]> {
    const rows = await this.#dataSource.query<ReadingRow[]>(
      `SELECT a.id AS account_id, coalesce(s.uses_parent_balance, false) AS uses_parent_balance,
         w.id, w.currency, w.balance, w.credit_limit, w.credit_given, w.leased,
         coalesce((SELECT sum(greatest(e.units - e.spent, 0)) FROM wallet_lease e
           WHERE e.wallet_id = w.id AND e.holder = $2 AND NOT e.closed), 0) AS leased_to_holder
       FROM unnest($1::text[]) WITH ORDINALITY AS n(id, place) JOIN account a ON a.id = n.id
       LEFT JOIN account_balance_source s ON s.account_id = a.id
       LEFT JOIN wallet w ON w.account_id = a.id ORDER BY n.place, w.id`,
      [nodeIds, holder],
    );
    const byAccount = Map.groupBy(rows, (row) => row.account_id);
    return [...byAccount].map(([accountId, of]) => ({
      accountId,
      usesParentBalance: of[0]!.uses_parent_balance,
      wallets: of.flatMap((row) => (row.id === null ? [] : [readingOf(row.id, row)])),
    }));
  }
}

function readingOf(id: string, row: ReadingRow) {
  return {
    id,
    currency: row.currency,
    balance: micros(BigInt(row.balance)),
    creditLimit: micros(BigInt(row.credit_limit)),
    creditGiven: micros(BigInt(row.credit_given)),
    leased: micros(BigInt(row.leased)),
    leasedToHolder: micros(BigInt(row.leased_to_holder)),
  };
}
