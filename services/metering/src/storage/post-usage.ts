import { derivedId } from "@gatehouse/keys";
import type { EntityManager } from "typeorm";
import { MOST_MICROS } from "../domain/money.ts";

/** What usage takes from a wallet; below zero it gives back. */
export interface UsageEntry {
  /** What it is posted for (a batch, a reservation, a report): what names that among all. */
  readonly reference: string;
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
 * Books what was used as one row of the ledger for each reference and wallet: USAGE, or REFUND of what an estimate was too
 * high. The rows' ids come of both, so that saying it twice books it once. It may take a balance below what its credit limit
 * allows: the usage has been.
 *
 * Locks the wallets, in the order of their ids; `atMs` is the database's time. Leases are not its concern.
 */
export async function postUsage(
  manager: EntityManager,
  entries: readonly UsageEntry[],
  atMs: number,
): Promise<PostedUsage> {
  const due = oneOfEach(entries);
  if (due.length === 0) return { repeated: 0, full: 0 };
  const walletIds = due.map(({ walletId }) => walletId);
  await manager.query("SELECT FROM wallet WHERE id = ANY($1) ORDER BY id FOR UPDATE", [walletIds]);
  const atMost = (balance: string) => `greatest(least(${balance}, ${MOST_MICROS}), -${MOST_MICROS})::bigint`;
  const [row] = await manager.query<[{ fresh: string; full: string }]>(
    `WITH fresh AS MATERIALIZED (
       SELECT d.*, w.currency, w.account_id, greatest(w.moved_at, $5::timestamptz) AS at,
         ${atMost("w.balance - sum(d.amount) OVER rows_so_far + d.amount")} AS before,
         ${atMost("w.balance - sum(d.amount) OVER rows_so_far")} AS after
       FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) WITH ORDINALITY
         AS d(id, reference, wallet_id, amount, n)
       JOIN wallet w ON w.id = d.wallet_id
       WHERE NOT EXISTS (SELECT FROM ledger_transfer t WHERE t.id = d.id)
       WINDOW rows_so_far AS (PARTITION BY d.wallet_id ORDER BY d.n)),
     moved AS (
       UPDATE wallet w SET balance = f.after, moved_at = f.at
       FROM (SELECT DISTINCT ON (wallet_id) * FROM fresh ORDER BY wallet_id, n DESC) AS f
       WHERE w.id = f.wallet_id RETURNING 1),
     written AS (
       INSERT INTO ledger_transfer (id, at, kind, organization_id, currency,
         from_wallet, to_wallet, amount, from_balance, to_balance, reference)
       SELECT f.id, f.at, CASE WHEN f.amount > 0 THEN 'USAGE' ELSE 'REFUND' END, ${organizationOf("f.account_id")},
         f.currency, CASE WHEN f.amount > 0 THEN f.wallet_id ELSE 'REVENUE' END,
         CASE WHEN f.amount > 0 THEN 'REVENUE' ELSE f.wallet_id END, abs(f.before - f.after),
         CASE WHEN f.amount > 0 THEN f.after END, CASE WHEN f.amount < 0 THEN f.after END, f.reference
       FROM fresh f WHERE f.before <> f.after ORDER BY f.wallet_id, f.n RETURNING 1)
     SELECT (SELECT count(*) FROM fresh) AS fresh,
       (SELECT count(*) FROM fresh WHERE before - after <> amount) AS full`,
    [
      due.map(({ reference, walletId }) => derivedId("txn", `${reference} ${walletId}`)),
      due.map(({ reference }) => reference),
      walletIds,
      due.map(({ amount }) => amount),
      new Date(atMs).toISOString(),
    ],
  );
  return { repeated: due.length - Number(row.fresh), full: Number(row.full) };
}

/** Those of one reference and wallet added up; what comes to nothing is left out. */
function oneOfEach(entries: readonly UsageEntry[]): UsageEntry[] {
  const sums = new Map<string, UsageEntry>();
  for (const { reference, walletId, amount } of entries) {
    // A wallet's id has no spaces.
    const name = `${walletId} ${reference}`;
    sums.set(name, { reference, walletId, amount: (sums.get(name)?.amount ?? 0) + amount });
  }
  return [...sums.values()].filter(({ amount }) => amount !== 0);
}

/** SQL: the organization of an account; empty for the root, and for one that the mirror has lost. */
function organizationOf(accountId: string): string {
  return `coalesce((SELECT a.organization_id FROM account a WHERE a.id = ${accountId}), '')`;
}
