import type { Window } from "@gatehouse/buckets";
import type { EntityManager } from "typeorm";
import { instant } from "./clock.ts";

/** SQL: the bucket `b` is of the window that the time `$2` is in. */
export const isOfWindow = `b.window_start <= $2::timestamptz AND (b.window_end IS NULL OR b.window_end > $2::timestamptz)`;

/**
 * Writes windows that `atMs` is in down, cut to where no other row of the limit is: after its zone or anchor has
 * changed, the window that is due reaches back into the one that just ended, which was of other bounds. One at a time,
 * or two rounds that read the limit before and after such a change would open two that overlap.
 */
export async function openQuotaWindows(
  manager: EntityManager,
  limitIds: readonly string[],
  atMs: number,
  windowOf: (limitId: string) => Window,
): Promise<void> {
  const there = await manager.query<{ limit_id: string }[]>(
    `SELECT limit_id FROM quota_bucket b WHERE limit_id = ANY($1) AND ${isOfWindow}`,
    [limitIds, instant(atMs)],
  );
  const known = new Set(there.map((row) => row.limit_id));
  const missing = limitIds.filter((id) => !known.has(id)).sort();
  if (missing.length === 0) return;
  const windows = missing.map(windowOf);
  await manager.query("SELECT pg_advisory_xact_lock(hashtextextended('open quota windows', 0))");
  await manager.query(
    `INSERT INTO quota_bucket (limit_id, window_start, window_end)
     SELECT w.limit_id, greatest(w.starts, before.window_end), least(w.ends, after.window_start)
     FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) AS w(limit_id, starts, ends)
     LEFT JOIN LATERAL (SELECT limit_id, window_end FROM quota_bucket b
       WHERE b.limit_id = w.limit_id AND b.window_start <= $4::timestamptz
       ORDER BY b.window_start DESC LIMIT 1) AS before ON true
     LEFT JOIN LATERAL (SELECT window_start FROM quota_bucket b
       WHERE b.limit_id = w.limit_id AND b.window_start > $4::timestamptz
       ORDER BY b.window_start LIMIT 1) AS after ON true
     WHERE before.limit_id IS NULL OR before.window_end <= $4::timestamptz`,
    [
      missing,
      windows.map(({ startMs }) => instant(startMs)),
      windows.map(({ endMs }) => (Number.isFinite(endMs) ? instant(endMs) : null)),
      instant(atMs),
    ],
  );
}
