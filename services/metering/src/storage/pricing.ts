import { type Price, payerOf } from "@gatehouse/buckets";
import type { Tx } from "@gatehouse/changefeed";
import type { WalletName } from "../domain/movement.ts";
import type { Posting, PricedAccount, Pricing } from "../domain/pricing.ts";
import { type ClockOffset, readNowMs } from "./clock.ts";
import { notifyFreed } from "./notice.ts";
import { openWallets } from "./open-wallets.ts";
import { postUsage } from "./post-usage.ts";
import { type PriceRow, priceOf } from "./price-book.ts";
import { recallLeases } from "./recall.ts";
import { tellRefilled } from "./refilled.ts";

export class PostgresPricing implements Pricing {
  readonly #tx: Tx;
  readonly #offsetMs: ClockOffset;

  constructor(tx: Tx, offsetMs: ClockOffset) {
    this.#tx = tx;
    this.#offsetMs = offsetMs;
  }

  async prices(ids: readonly string[], meters: readonly string[]): Promise<Price[]> {
    const rows = await this.#tx.manager.query<PriceRow[]>(
      "SELECT p.* FROM price p WHERE p.id = ANY($1) OR p.meter = ANY($2)",
      [ids, meters],
    );
    return rows.map(priceOf);
  }

  async accounts(ids: readonly string[]): Promise<ReadonlyMap<string, PricedAccount>> {
    if (ids.length === 0) return new Map();
    const rows = await this.#tx.manager.query<
      { id: string; path: string[]; type: string; plan: string; draws_on_parent: string[] }[]
    >(
      `SELECT a.id, a.path, coalesce(a.node ->> 'type', '') AS type, coalesce(o.node ->> 'plan', '') AS plan,
         ARRAY(SELECT account_id FROM account_balance_source s
               WHERE s.account_id = ANY(a.path) AND s.uses_parent_balance) AS draws_on_parent
       FROM account a LEFT JOIN account o ON o.id = a.organization_id WHERE a.id = ANY($1)`,
      [ids],
    );
    return new Map(
      rows.map(({ id, path, type: accountType, plan, draws_on_parent }) => {
        const chain = path.map((of) => ({ id: of, usesParentBalance: draws_on_parent.includes(of) }));
        return [id, { accountType, plan, payerId: payerOf(chain)?.id }];
      }),
    );
  }

  async currencies(walletIds: readonly string[]): Promise<ReadonlyMap<string, string>> {
    if (walletIds.length === 0) return new Map();
    const rows = await this.#tx.manager.query<{ id: string; currency: string }[]>(
      "SELECT id, currency FROM wallet WHERE id = ANY($1)",
      [walletIds],
    );
    return new Map(rows.map(({ id, currency }) => [id, currency]));
  }

  async wallets(names: readonly WalletName[]): Promise<string[]> {
    return names.length === 0 ? [] : openWallets(this.#tx, names, await this.#nowMs());
  }

  async post(postings: readonly Posting[]): Promise<void> {
    if (postings.length === 0) return;
    const { manager } = this.#tx;
    const walletIds = [...new Set(postings.map(({ walletId }) => walletId))];
    const before = await manager.query<{ id: string; balance: string }[]>(
      "SELECT id, balance FROM wallet WHERE id = ANY($1) ORDER BY id FOR UPDATE",
      [walletIds],
    );
    const change = new Map<string, number>();
    for (const { walletId, micros } of postings) change.set(walletId, (change.get(walletId) ?? 0) - micros);
    const raised = before.filter(({ id }) => change.get(id)! > 0);
    await tellRefilled(
      this.#tx,
      raised.map(({ id, balance }) => ({ id, balance: Number(balance) + change.get(id)! })),
    );
    const entries = postings.map(({ reference, walletId, micros }) => ({
      reference,
      walletId,
      amount: micros,
    }));
    await postUsage(manager, entries, await this.#nowMs());
    const overdrawn = await manager.query<{ id: string }[]>(
      `SELECT id FROM wallet
       WHERE id = ANY($1) AND leased > 0 AND balance::numeric + credit_limit - leased < 0`,
      [walletIds],
    );
    await recallLeases(
      manager,
      overdrawn.map(({ id }) => id),
    );
    await notifyFreed(
      manager,
      raised.map(({ id }) => id),
    );
  }

  #nowMs(): Promise<number> {
    return readNowMs(this.#tx.manager, this.#offsetMs);
  }
}
