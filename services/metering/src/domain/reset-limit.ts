import type { KeyView } from "@gatehouse/access";
import { rate } from "@gatehouse/buckets";
import { notFound } from "@gatehouse/service/failure";
import { actorOf } from "./actor.ts";
import { isRate, type Limit } from "./limit.ts";
import type { BucketReading, LimitTx } from "./limit-store.ts";
import { type Allowance, allowanceOf } from "./read-limits.ts";
import { type LimitDependencies, limitInReach } from "./set-limit.ts";

/**
 * Begins a limit's bucket anew. A quota's window is cut in two: the bucket that was ends now and keeps its leases,
 * so that what batches still tell of them is booked where it was lent; the new one is full and ends when the window
 * does. A round of lending that found the old bucket before this committed finds it over, and lends nothing that
 * could be spent. A rate has no past to keep: its leases are forgotten, and it is full.
 *
 * Units in hand of a holder that does not hear the recall can be spent until their deadline, beside the new bucket's.
 *
 * Throws Failure INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED (OWN_CEILING).
 */
export async function resetLimit(
  dependencies: LimitDependencies,
  caller: KeyView,
  limitId: string,
): Promise<{ allowance: Allowance; freshness: string }> {
  const { node } = await limitInReach(dependencies, caller, limitId);
  const { value, freshness } = await dependencies.store.mutate([node.id], actorOf(caller), async (tx) => {
    const limit = await tx.find(limitId);
    if (limit === undefined) throw notFound("limit");
    const { before, after } = isRate(limit) ? await renewRate(tx, limit) : await renewQuota(tx, limit);
    await tx.freed(limitId);
    const nowMs = await tx.nowMs();
    const { used, leased } = allowanceOf(before, nowMs);
    await tx.audit({
      action: "gatehouse.limits.reset",
      limitId,
      before: { ...limit, used, leased },
      after: limit,
    });
    return allowanceOf(after, nowMs);
  });
  return { allowance: value, freshness };
}

interface Renewed {
  readonly before: BucketReading;
  readonly after: BucketReading;
}

async function renewRate(tx: LimitTx, limit: Limit & { allowance: rate.RateSpec }): Promise<Renewed> {
  const state = await tx.rateState(limit.id);
  // Before leases go: the recall finds its holders in them.
  await tx.recall(limit.id);
  await tx.dropRateLeases(limit.id);
  const full = rate.open(limit.allowance, await tx.nowMs());
  await tx.writeRateState(limit.id, full);
  const reading = (of: typeof state) => ({ limit, quota: undefined, rate: of, leasedToHolder: 0 });
  return { before: reading(state), after: reading(full) };
}

async function renewQuota(tx: LimitTx, limit: Limit): Promise<Renewed> {
  const drawn = await tx.renewQuota(limit.id);
  // Behind its locks: what was lent of the old bucket until then is there to be called back.
  await tx.recall(limit.id);
  const reading = (of: typeof drawn) => ({ limit, quota: of, rate: undefined, leasedToHolder: 0 });
  return { before: reading(drawn), after: reading(drawn && { ...drawn, spent: 0, leased: 0 }) };
}
