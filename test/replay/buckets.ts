import type { Gatehouse } from "@gatehouse/client";
import { type Allowance, Enforcement, Window } from "@gatehouse/proto/metering";
import { eachOf } from "./each-of.ts";
import { persistently } from "./persist.ts";

const AT_ONCE = 16;

/** Every bucket that binds the accounts, by limit id. */
export async function readBuckets(
  root: Gatehouse,
  accountIds: Iterable<string>,
): Promise<Map<string, Allowance>> {
  const buckets = new Map<string, Allowance>();
  await eachOf(accountIds, AT_ONCE, async (value) => {
    const request = { node: { case: "account", value } as const };
    const { allowances } = await persistently(() => root.limits.getAllowance(request));
    for (const allowance of allowances) if (allowance.limit) buckets.set(allowance.limit.id, allowance);
  });
  return buckets;
}

/** A bucket that gave more than it held. */
export interface Exceeded {
  readonly bucket: Allowance;
  readonly units: bigint;
}

/**
 * The enforced quotas of which more is used than they hold. One that was over before the run, because it was
 * lowered below what was used, is over only if the run used more of it.
 */
export function exceeded(
  before: ReadonlyMap<string, Allowance>,
  after: ReadonlyMap<string, Allowance>,
): Exceeded[] {
  return [...after].flatMap(([id, bucket]) => {
    const { limit, used } = bucket;
    if (limit?.allowance.case !== "quota" || limit.enforcement === Enforcement.WARN) return [];
    const { units } = limit.allowance.value;
    const usedBefore = before.get(id)?.used ?? 0n;
    return used > units && used > usedBefore ? [{ bucket, units }] : [];
  });
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
