import type { EntityManager } from "typeorm";
import { notifyRecalls } from "./notice.ts";

/** Tells every holder to close its leases of these limits and wallets, once the transaction has committed. */
export async function recallLeases(manager: EntityManager, limitIds: readonly string[]): Promise<void> {
  if (limitIds.length === 0) return;
  // By bucket, which open leases have an index of.
  const rows = await manager.query<{ holder: string; limit_ids: string[] }[]>(
    `SELECT holder, array_agg(DISTINCT limit_id) AS limit_ids FROM (
       SELECT l.holder, l.limit_id FROM quota_bucket b JOIN quota_lease l ON l.bucket_id = b.id
       WHERE b.limit_id = ANY($1) AND NOT l.closed AND NOT l.forfeited
       UNION ALL SELECT holder, limit_id FROM rate_lease WHERE limit_id = ANY($1)
       UNION ALL SELECT holder, wallet_id FROM wallet_lease WHERE wallet_id = ANY($1) AND NOT closed) AS leases
     GROUP BY holder`,
    [limitIds],
  );
  await notifyRecalls(manager, new Map(rows.map(({ holder, limit_ids }) => [holder, limit_ids])));
}
