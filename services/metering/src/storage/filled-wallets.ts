import type { DataSource } from "typeorm";
import type { Holding, Keeper } from "../domain/holdings.ts";
import { micros } from "../domain/money.ts";
import type { Filled, MoveHoldingsDependencies } from "../domain/move-holdings.ts";

type FilledStore = MoveHoldingsDependencies["store"];

/**
 * Wallets that are not empty, as what is kept for accounts. What is lent of money is still in the balance; what is lent of
 * credit alone may yet be owed, and a closed account pays no more.
 */
export class FilledWallets implements Keeper, FilledStore {
  readonly #dataSource: DataSource;

  constructor(dataSource: DataSource) {
    this.#dataSource = dataSource;
  }

  async filled(accountId: string, limit: number): Promise<readonly Filled[]> {
    const rows = await this.#read(accountId, "w.balance", limit);
    return rows.map((row) => ({
      accountId: row.account_id,
      currency: row.currency,
      balance: micros(BigInt(row.balance)),
    }));
  }

  async heldFor(accountId: string, limit: number): Promise<readonly Holding[]> {
    const wallets = await this.#read(accountId, "coalesce(nullif(w.balance, 0), -w.leased)", limit);
    return wallets.map(({ account_id, currency, balance }) => ({
      accountId: account_id,
      currency,
      amount: BigInt(balance),
      decisionId: undefined,
    }));
  }

  /** Wallets of an account and all below it in which an amount, SQL, is not 0. */
  #read(
    accountId: string,
    amount: string,
    limit: number,
  ): Promise<{ account_id: string; currency: string; balance: string }[]> {
    return this.#dataSource.query(
      `SELECT w.account_id, w.currency, ${amount} AS balance FROM account a JOIN wallet w ON w.account_id = a.id
       WHERE a.path @> ARRAY[$1]::text[] AND ${amount} <> 0 ORDER BY w.account_id, w.currency LIMIT $2`,
      [accountId, limit],
    );
  }
}
