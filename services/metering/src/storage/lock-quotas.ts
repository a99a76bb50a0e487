import type { EntityManager } from "typeorm";
import type { ClockOffset } from "./clock.ts";

/**
 * Locks the buckets of limits whose windows are not over. Whoever lends from a bucket holds its row: behind this, no lease
 * goes out under the terms before.
 */
export async function lockQuotas(
  manager: EntityManager,
  limitIds: readonly string[],
  offsetMs: ClockOffset,
): Promise<void> {
  await manager.query(
    `SELECT FROM quota_bucket WHERE limit_id = ANY($1)
       AND (window_end IS NULL OR window_end > clock_timestamp() + $2 * interval '1 millisecond')
     ORDER BY id FOR UPDATE`,
    [limitIds, offsetMs()],
  );
}
