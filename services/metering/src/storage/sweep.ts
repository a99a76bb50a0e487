import type { ChangeLog } from "@gatehouse/changefeed";
import type { DataSource, EntityManager } from "typeorm";
import { type ClockOffset, instant, readNowMs } from "./clock.ts";
import { counted } from "./most-counted.ts";

/** Buckets of one transaction, so that nobody waits long for their rows. */
const MAX_BUCKETS = 200;
/** Rows deleted by one statement: some tens of milliseconds. */
const MAX_DELETED = 5000;
/** A closed lease is done with; one that was forfeited may be heard of when its holder's disk is found again. */
const CLOSED_KEPT_MS = 86_400_000;
const FORFEITED_KEPT_MS = 90 * 86_400_000;
/** Longer than a lease of it is kept: nothing that is still to come names it. */
const ENDED_BUCKETS_KEPT_MS = FORFEITED_KEPT_MS + CLOSED_KEPT_MS;

/**
 * Forfeits leases whose holders have vanished, so that what is shown as lent is lent; an acquire does the same for the
 * buckets it touches, and this is for those that nobody asks. And forgets old ones, with buckets of windows that were over
 * long ago. Answers the units forfeited.
 */
export async function sweepLeases(
  dataSource: DataSource,
  log: ChangeLog,
  graceMs: number,
  offsetMs: ClockOffset,
): Promise<number> {
  const nowMs = await readNowMs(dataSource.manager, offsetMs);
  const { value: lost } = await log.commit(({ manager }) => forfeitLeases(manager, nowMs - graceMs));
  await dataSource.query(
    `DELETE FROM quota_lease WHERE id IN (
       SELECT id FROM quota_lease
       WHERE (closed OR forfeited) AND deadline < $1::timestamptz AND (closed OR deadline < $2::timestamptz)
       LIMIT $3)`,
    [instant(nowMs - CLOSED_KEPT_MS), instant(nowMs - FORFEITED_KEPT_MS), MAX_DELETED],
  );
  // Those that are open stay: what was spent of them is known to nobody yet.
  await dataSource.query(
    `DELETE FROM wallet_lease WHERE id IN (
       SELECT id FROM wallet_lease WHERE closed AND deadline < $1::timestamptz LIMIT $2)`,
    [instant(nowMs - CLOSED_KEPT_MS), MAX_DELETED],
  );
  await dataSource.query(
    `DELETE FROM quota_bucket WHERE id IN (
       SELECT id FROM quota_bucket WHERE window_end < $1::timestamptz ORDER BY window_end LIMIT $2)`,
    [instant(nowMs - ENDED_BUCKETS_KEPT_MS), MAX_DELETED],
  );
  return lost;
}

async function forfeitLeases(manager: EntityManager, beforeMs: number): Promise<number> {
  const buckets = await manager.query<{ id: string }[]>(
    `SELECT id FROM quota_bucket WHERE id IN (
       SELECT bucket_id FROM quota_lease
       WHERE NOT closed AND NOT forfeited AND deadline <= $1::timestamptz ORDER BY deadline LIMIT $2)
     ORDER BY id FOR UPDATE SKIP LOCKED`,
    [instant(beforeMs), MAX_BUCKETS],
  );
  if (buckets.length === 0) return 0;
  const [{ lost }] = await manager.query<[{ lost: string }]>(
    `WITH forfeited AS (
       UPDATE quota_lease SET forfeited = true
       WHERE bucket_id = ANY($1) AND NOT closed AND NOT forfeited AND deadline <= $2::timestamptz
       RETURNING bucket_id, greatest(units - spent, 0) AS units),
     drawn AS (
       UPDATE quota_bucket b SET spent = ${counted("b.spent + f.units")}, leased = b.leased - f.units
       FROM (SELECT bucket_id, sum(units)::bigint AS units FROM forfeited GROUP BY bucket_id) AS f
       WHERE b.id = f.bucket_id)
     SELECT coalesce(sum(units), 0) AS lost FROM forfeited`,
    [buckets.map(({ id }) => id), instant(beforeMs)],
  );
  return Number(lost);
}
