import { derivedId } from "@gatehouse/keys";
import type { EntityManager } from "typeorm";
import { MOST_MICROS } from "../domain/money.ts";

/** What usage takes from a wallet; below zero it gives back. */
export interface UsageEntry {
  readonly walletId: string;
  /** Micros. */
  readonly amount: number;
}

/** What became of it. */
export interface PostedUsage {
  /** Entries that were posted before under the same reference: nothing was booked again. */
  readonly repeated: number;
  /** Entries of which a part was not booked, because a balance is as low, or as high, as can be counted. */
  readonly full: number;
}

/**
 * Books what was used as one row of the ledger for each wallet: USAGE, or REFUND of what an estimate was too high.
 * The rows' ids come of `reference` (a batch, a reservation, a report: what names it among all), so that saying it
 * twice books it once. It may take a balance below what its credit limit allows: the usage has been.
 *
 * Locks the wallets, in the order of their ids; `atMs` is the database's time. Leases are not its concern.
 */
export async function postUsage(
  manager: EntityManager,
  reference: string,
  entries: readonly UsageEntry[],
  atMs: number,
): Promise<PostedUsage> {
  const amounts = new Map<string, number>();
  for (const { walletId, amount } of entries) amounts.set(walletId, (amounts.get(walletId) ?? 0) + amount);
  const due = [...amounts].filter(([, amount]) => amount !== 0);
  if (due.length === 0) return { repeated: 0, full: 0 };
  const walletIds = due.map(([walletId]) => walletId);
  await manager.query("SELECT FROM wallet WHERE id = ANY($1) ORDER BY id FOR UPDATE", [walletIds]);
  const [row] = await manager.query<[{ fresh: string; full: string }]>(
    `WITH fresh AS MATERIALIZED (
       SELECT d.id, d.wallet_id, d.amount, w.currency, w.account_id, w.balance AS before,
         greatest(w.moved_at, $4::timestamptz) AS at,
         greatest(least(w.balance - d.amount, ${MOST_MICROS}), -${MOST_MICROS})::bigint AS after
       FROM unnest($1::text[], $2::text[], $3::bigint[]) AS d(id, wallet_id, amount)
       JOIN wallet w ON w.id = d.wallet_id
       WHERE NOT EXISTS (SELECT FROM ledger_transfer t WHERE t.id = d.id)),
     moved AS (
       UPDATE wallet w SET balance = f.after, moved_at = f.at FROM fresh f WHERE w.id = f.wallet_id RETURNING 1),
     written AS (
       INSERT INTO ledger_transfer (id, at, kind, organization_id, currency,
         from_wallet, to_wallet, amount, from_balance, to_balance, reference)
       SELECT f.id, f.at, CASE WHEN f.amount > 0 THEN 'USAGE' ELSE 'REFUND' END, ${organizationOf("f.account_id")},
         f.currency, CASE WHEN f.amount > 0 THEN f.wallet_id ELSE 'REVENUE' END,
         CASE WHEN f.amount > 0 THEN 'REVENUE' ELSE f.wallet_id END, abs(f.before - f.after),
         CASE WHEN f.amount > 0 THEN f.after END, CASE WHEN f.amount < 0 THEN f.after END, $5
       FROM fresh f WHERE f.before <> f.after ORDER BY f.wallet_id RETURNING 1)
     SELECT (SELECT count(*) FROM fresh) AS fresh,
       (SELECT count(*) FROM fresh WHERE before - after <> amount) AS full`,
    [
      walletIds.map((walletId) => derivedId("txn", `${reference} ${walletId}`)),
      walletIds,
      due.map(([, amount]) => amount),
      new Date(atMs).toISOString(),
      reference,
    ],
  );
  return { repeated: due.length - Number(row.fresh), full: Number(row.full) };
}

/** SQL: the organization of an account; empty for the root, and for one that the mirror has lost. */
export function organizationOf(accountId: string): string {
  return `coalesce((SELECT a.organization_id FROM account a WHERE a.id = ${accountId}), '')`;
}
