import type { Gatehouse } from "@gatehouse/client";
import { type Allowance, Enforcement, Window } from "@gatehouse/proto/metering";
import { eachOf } from "./each-of.ts";
import { persistently } from "./persist.ts";
import type { Refusals } from "./tally.ts";

const AT_ONCE = 16;

/** Buckets by limit id. */
export type Buckets = ReadonlyMap<string, Allowance>;

/** Every bucket that binds the accounts, by limit id. */
export async function readBuckets(root: Gatehouse, accountIds: Iterable<string>): Promise<Buckets> {
  const buckets = new Map<string, Allowance>();
  await eachOf(accountIds, AT_ONCE, async (value) => {
    const request = { node: { case: "account", value } as const };
    const { allowances } = await persistently(() => root.limits.getAllowance(request));
    for (const allowance of allowances) if (allowance.limit) buckets.set(allowance.limit.id, allowance);
  });
  return buckets;
}

/** A bucket that did not do what its limit says. */
export interface BucketFault {
  readonly bucket: Allowance;
  readonly problem: string;
}

/**
 * The enforced quotas of which more is used than they hold, and those that refused what they still had room for.
 * One that was over before the run, because it was lowered below what was used, is over only if the run used more
 * of it. Within a window use only grows, so what is left at the end was left at every refusal.
 */
export function bucketFaults(
  before: Buckets,
  after: Buckets,
  refusals: Iterable<Refusals>,
  meters: readonly string[],
): BucketFault[] {
  const faults: BucketFault[] = [];
  for (const [id, bucket] of after) {
    const units = enforcedUnits(bucket);
    if (units === undefined || bucket.used <= units || bucket.used <= (before.get(id)?.used ?? 0n)) continue;
    faults.push({ bucket, problem: `used ${bucket.used} of ${units}` });
  }
  for (const { code, limitId, least } of refusals) {
    const bucket = after.get(limitId);
    if (code !== "QUOTA_EXCEEDED" || bucket === undefined || !isSameWindow(before.get(limitId), bucket))
      continue;
    const asked = least[meters.indexOf(bucket.limit!.meter)];
    const left = (enforcedUnits(bucket) ?? 0n) - bucket.used;
    if (asked === undefined || asked > left) continue;
    faults.push({
      bucket,
      problem: `refused a call of ${asked} with ${left} left, ${bucket.leased} of them lent`,
    });
  }
  return faults;
}

function enforcedUnits({ limit }: Allowance): bigint | undefined {
  if (limit?.allowance.case !== "quota" || limit.enforcement === Enforcement.WARN) return undefined;
  return limit.allowance.value.units;
}

function isSameWindow(before: Allowance | undefined, after: Allowance): boolean {
  return before !== undefined && before.resetsAt?.seconds === after.resetsAt?.seconds;
}

/** `1000000000 bytes/month on acme`, for people. */
export function describeBucket({ limit }: Allowance, nameOf: (nodeId: string) => string): string {
  if (limit === undefined) return "?";
  const { meter, nodeId, resource, allowance } = limit;
  const on = `on ${nameOf(nodeId)}${resource === "" ? "" : ` for ${resource}`}`;
  if (allowance.case === "quota") {
    return `${allowance.value.units} ${meter}/${Window[allowance.value.window].toLowerCase()} ${on}`;
  }
  const { seconds = 0n, nanos = 0 } = allowance.value?.interval ?? {};
  return `${allowance.value?.units} ${meter}/${Number(seconds) + nanos / 1e9} s ${on}`;
}
