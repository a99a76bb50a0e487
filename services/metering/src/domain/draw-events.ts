import { windowAt } from "@gatehouse/buckets";
import { isOverdrawn } from "./drawn-bucket.ts";
import { countsResource, isQuota, type QuotaLimit } from "./limit.ts";
import type { BucketPlace, ReportTx } from "./report-store.ts";
import type { UsageEvent } from "./usage-event.ts";

/**
 * Draws what events used from the quotas that count it, in the windows that their times are in. A window may be over:
 * what was used in it and what was drawn stay one number. One that ended before its limit was made has no bucket. What
 * is left may be less than nothing; then what is lent is called back, and nothing is lent until there is some again.
 */
export async function drawEvents(tx: ReportTx, events: readonly UsageEvent[]): Promise<void> {
  const nodeIds = new Set(events.flatMap(({ node }) => node.nodeIds));
  const limits = (await tx.limitsOn([...nodeIds])).filter(isQuota);
  if (limits.length === 0) return;
  const byNode = Map.groupBy(limits, ({ node }) => node.id);
  const draws = events.flatMap((event) => drawsOf(event, byNode));
  if (draws.length === 0) return;
  const buckets = await tx.bucketsAt(draws.map(({ place }) => place));
  const units = new Map<string, number>();
  for (const [i, draw] of draws.entries()) {
    const bucketId = buckets[i]!;
    units.set(bucketId, (units.get(bucketId) ?? 0) + draw.units);
  }
  const byId = new Map(limits.map((limit) => [limit.id, limit]));
  const drawn = await tx.draw(units);
  await tx.recall(drawn.filter((bucket) => isOverdrawn(bucket, byId)).map(({ limitId }) => limitId));
}

interface EventDraw {
  readonly place: BucketPlace;
  readonly units: number;
}

function drawsOf(event: UsageEvent, byNode: ReadonlyMap<string, readonly QuotaLimit[]>): EventDraw[] {
  const { node, meter, resource, atMs, units } = event;
  return node.nodeIds
    .flatMap((id) => byNode.get(id) ?? [])
    .filter((limit) => limit.meter === meter && countsResource(limit, resource))
    .map((limit) => ({ limit, window: windowAt(limit.allowance, atMs) }))
    .filter(({ limit, window }) => window.endMs > limit.createdAtMs)
    .map(({ limit, window }) => ({ place: { limitId: limit.id, atMs, window }, units }));
}
