import type { DataSource } from "typeorm";
import type { Holding, Keeper } from "../domain/holdings.ts";
import { micros } from "../domain/money.ts";
import type { Filled, MoveHoldingsDependencies } from "../domain/move-holdings.ts";

type FilledStore = MoveHoldingsDependencies["store"];

/** Wallets that are not empty, as what is kept for accounts. What is lent of them is still in their balance. */
export class FilledWallets implements Keeper, FilledStore {
  readonly #dataSource: DataSource;

  constructor(dataSource: DataSource) {
    this.#dataSource = dataSource;
  }

  async filled(accountId: string, limit: number): Promise<readonly Filled[]> {
    const rows = await this.#dataSource.query<{ account_id: string; currency: string; balance: string }[]>(
      `SELECT w.account_id, w.currency, w.balance FROM account a JOIN wallet w ON w.account_id = a.id
       WHERE a.path @> ARRAY[$1]::text[] AND w.balance <> 0 ORDER BY w.account_id, w.currency LIMIT $2`,
      [accountId, limit],
    );
    return rows.map((row) => ({
      accountId: row.account_id,
      currency: row.currency,
      balance: micros(BigInt(row.balance)),
    }));
  }

  async heldFor(accountId: string, limit: number): Promise<readonly Holding[]> {
    const wallets = await this.filled(accountId, limit);
    return wallets.map(({ accountId: of, currency, balance }) => ({
      accountId: of,
      currency,
      amount: BigInt(balance),
      decisionId: undefined,
    }));
  }
}
