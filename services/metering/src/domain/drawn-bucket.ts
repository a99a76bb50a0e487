import { quota } from "@gatehouse/buckets";
import { isQuota, type Limit } from "./limit.ts";

/** What is in a window of a quota after a change. */
export interface DrawnBucket {
  readonly limitId: string;
  readonly endMs: number | undefined;
  readonly spent: number;
  readonly leased: number;
}

/** What is left of it; nothing of a limit that is gone: nobody lends from it any more. */
export function leftOf({ limitId, spent, leased }: DrawnBucket, limits: ReadonlyMap<string, Limit>): number {
  const limit = limits.get(limitId);
  if (limit === undefined || !isQuota(limit)) return 0;
  return quota.available({ units: limit.allowance.units, spent, leased });
}

/** Has it less than nothing, and some of it is lent? That is to be called back. */
export function isOverdrawn(bucket: DrawnBucket, limits: ReadonlyMap<string, Limit>): boolean {
  return bucket.leased > 0 && leftOf(bucket, limits) < 0;
}
