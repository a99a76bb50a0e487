import type { ChangeLog } from "@gatehouse/changefeed";
import type { DataSource, EntityManager } from "typeorm";
import { type ClockOffset, instant, nowMsExpression } from "./clock.ts";
import { counted } from "./most-counted.ts";

/** Buckets of one transaction, so that nobody waits long for their rows. */
const MAX_BUCKETS = 200;
const MAX_LEASES = 5000;
/** A closed lease is done with; one that was forfeited may be heard of when its holder's disk is found again. */
const CLOSED_KEPT_MS = 86_400_000;
const FORFEITED_KEPT_MS = 90 * 86_400_000;

/**
 * Forfeits leases whose holders have vanished, so that what is shown as lent is lent, and forgets old ones.
 * An acquire does the same for the buckets it touches; this is for those that nobody asks. Answers the units forfeited.
 */
export async function sweepLeases(
  dataSource: DataSource,
  log: ChangeLog,
  graceMs: number,
  offsetMs: ClockOffset,
): Promise<number> {
  const [now] = await dataSource.query<[{ now_ms: string }]>(`SELECT ${nowMsExpression} AS now_ms`);
  const nowMs = Number(now.now_ms) + offsetMs();
  let lost = 0;
  await log.commit(async ({ manager }) => {
    const rows = await manager.query<{ id: string; spent: string; leased: string }[]>(
      `SELECT id, spent, leased FROM quota_bucket WHERE id IN (
         SELECT bucket_id FROM quota_lease
         WHERE NOT closed AND NOT forfeited AND deadline <= $1::timestamptz ORDER BY deadline LIMIT $2)
       ORDER BY id FOR UPDATE SKIP LOCKED`,
      [instant(nowMs - graceMs), MAX_BUCKETS],
    );
    if (rows.length === 0) return;
    const ids = rows.map(({ id }) => id);
    const forfeited = await forfeitQuotaLeases(manager, ids, nowMs - graceMs);
    lost = forfeited.values().reduce((sum, units) => sum + units, 0);
    await writeQuotaBuckets(
      manager,
      rows.map(({ id, spent, leased }) => {
        const units = forfeited.get(id) ?? 0;
        return { id, spent: Number(spent) + units, leased: Number(leased) - units };
      }),
    );
  });
  await dataSource.query(
    `DELETE FROM quota_lease WHERE id IN (
       SELECT id FROM quota_lease
       WHERE (closed OR forfeited) AND deadline < $1::timestamptz AND (closed OR deadline < $2::timestamptz)
       LIMIT $3)`,
    [instant(nowMs - CLOSED_KEPT_MS), instant(nowMs - FORFEITED_KEPT_MS), MAX_LEASES],
  );
  // Those that are open stay: what was spent of them is known to nobody yet.
  await dataSource.query(
    `DELETE FROM wallet_lease WHERE id IN (
       SELECT id FROM wallet_lease WHERE closed AND deadline < $1::timestamptz LIMIT $2)`,
    [instant(nowMs - CLOSED_KEPT_MS), MAX_LEASES],
  );
  return lost;
}

/** Sets what is spent and leased of buckets that the transaction has locked. */
async function writeQuotaBuckets(
  manager: EntityManager,
  buckets: readonly { readonly id: string; readonly spent: number; readonly leased: number }[],
): Promise<void> {
  if (buckets.length === 0) return;
  await manager.query(
    `UPDATE quota_bucket SET spent = ${counted("b.spent")}, leased = b.leased
     FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS b(id, spent, leased) WHERE quota_bucket.id = b.id`,
    [buckets.map(({ id }) => id), buckets.map(({ spent }) => spent), buckets.map(({ leased }) => leased)],
  );
}

/** Marks leases as forfeited whose buckets the transaction has locked; answers their unspent units by bucket. */
async function forfeitQuotaLeases(
  manager: EntityManager,
  bucketIds: readonly string[],
  beforeMs: number,
): Promise<ReadonlyMap<string, number>> {
  const rows = await manager.query<{ bucket_id: string; units: string }[]>(
    `WITH forfeited AS (
       UPDATE quota_lease SET forfeited = true
       WHERE bucket_id = ANY($1) AND NOT closed AND NOT forfeited AND deadline <= $2::timestamptz
       RETURNING bucket_id, greatest(units - spent, 0) AS units)
     SELECT bucket_id, sum(units) AS units FROM forfeited GROUP BY bucket_id`,
    [bucketIds, instant(beforeMs)],
  );
  return new Map(rows.map((row) => [row.bucket_id, Number(row.units)]));
}
