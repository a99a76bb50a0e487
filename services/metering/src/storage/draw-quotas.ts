import type { EntityManager } from "typeorm";
import type { DrawnBucket } from "../domain/drawn-bucket.ts";
import { counted } from "./most-counted.ts";

/**
 * Adds to what is spent of quotas' buckets, which may leave less than nothing; none is spent less than nothing. Locks
 * them in order, as acquires and batches do. Answers what is in their windows then, with what nodes have shares of.
 */
export async function drawQuotas(
  manager: EntityManager,
  units: ReadonlyMap<string, number>,
): Promise<DrawnBucket[]> {
  const ids = [...units.keys()];
  await manager.query("SELECT FROM quota_bucket WHERE id = ANY($1) ORDER BY id FOR UPDATE", [ids]);
  const rows = await manager.query<
    { limit_id: string; window_end: Date | null; spent: string; leased: string }[]
  >(
    `WITH drawn AS (
       UPDATE quota_bucket b SET spent = greatest(${counted("b.spent + d.units")}, 0)
       FROM unnest($1::bigint[], $2::bigint[]) AS d(id, units) WHERE b.id = d.id
       RETURNING b.id, b.limit_id, b.window_start, b.window_end, b.spent, b.leased),
     beside AS (
       SELECT b.limit_id, b.window_end, b.spent, b.leased
       FROM (SELECT DISTINCT limit_id, window_start FROM drawn) AS w
       JOIN quota_bucket b USING (limit_id, window_start) WHERE NOT EXISTS (SELECT FROM drawn WHERE drawn.id = b.id))
     SELECT limit_id, window_end, sum(spent) AS spent, sum(leased) AS leased
     FROM (SELECT limit_id, window_end, spent, leased FROM drawn UNION ALL SELECT * FROM beside) AS r
     GROUP BY limit_id, window_end`,
    [ids, [...units.values()]],
  );
  return rows.map((row) => ({
    limitId: row.limit_id,
    endMs: row.window_end?.getTime(),
    spent: Number(row.spent),
    leased: Number(row.leased),
  }));
}
