import type { Moment } from "@gatehouse/changefeed";
import type { DecisionCode } from "./decision.ts";
import type { MoneyReading } from "./explain-wallets.ts";
import type { ExplainedBucket } from "./explanation.ts";
import type { InHand, LeasePool } from "./lease-pool.ts";
import type { Need } from "./lease-source.ts";
import type { Limit } from "./limit.ts";
import { REFUSED_AS } from "./refusal.ts";

/** What metering says of a bucket. */
export interface BucketReading {
  readonly limit: Limit;
  /** What leases of it are called that the call can use, where that is not the limit's id. */
  readonly part?: string;
  /** How fast a rate refills, in units a millisecond; undefined for a quota. */
  readonly unitsPerMs: number | undefined;
  /** The most that it ever holds. */
  readonly capacity: number;
  readonly used: number;
  readonly leased: number;
  /** What of `leased` is lent to this replica. */
  readonly leasedHere: number;
  readonly remaining: number;
  readonly resetsAtMs: number | undefined;
}

export interface BucketSource {
  /** The buckets that a call meets, and what the accounts have, in the order of the nodes. Settles within its own deadline. */
  readBuckets(request: {
    readonly nodeIds: readonly string[];
    readonly resource: string;
    readonly identityFreshness: string;
  }): Promise<{ readonly buckets: readonly BucketReading[]; readonly money: readonly MoneyReading[] }>;
}

/** A bucket that the call meets, and when it may have enough, in milliseconds from now. */
export interface MetBucket extends ExplainedBucket {
  /** For everybody, this replica included: what the call can get. */
  readonly left: number;
  readonly retryAfterMs: number | undefined;
}

/**
 * The buckets that count what the call needs, each as Verify would find it: with what is in hand here, and all that
 * others have not said to have spent. What this replica spent and has not told yet is used; what it gave back and metering
 * has not heard of is not known.
 */
export function metBuckets(
  readings: readonly BucketReading[],
  needs: readonly Need[],
  pool: Pick<LeasePool, "inHand">,
  now: Moment,
): MetBucket[] {
  return readings.flatMap((reading) => {
    const units = needs.find(({ meter }) => meter === reading.limit.meter)?.units;
    return units === undefined
      ? []
      : [metBucket(reading, units, pool.inHand(reading.part ?? reading.limit.id, now), now)];
  });
}

/** The bucket that stands in the way: the first that has not enough and does more than warn. */
export function decidingBucket(buckets: readonly MetBucket[]): MetBucket | undefined {
  return buckets.find(({ limit, outcome }) => outcome !== "PASSED" && limit.enforcement === "ENFORCE");
}

/** What a call is answered that the bucket stands in the way of. */
export function codeOf({ limit, outcome }: MetBucket): DecisionCode {
  if (outcome === "UNKNOWN") return "INDETERMINATE";
  return REFUSED_AS[limit.kind];
}

/** The bucket that would be left with the least; units and money do not compare. */
export function scarcest(buckets: readonly MetBucket[]): MetBucket | undefined {
  const enforced = buckets.filter(({ limit }) => limit.enforcement === "ENFORCE" && limit.kind !== "wallet");
  if (enforced.length === 0) return undefined;
  return enforced.reduce((least, each) => (each.left - each.units < least.left - least.units ? each : least));
}

/** A bucket as a call finds it that takes so much of it. */
export function metBucket(
  reading: BucketReading,
  units: number,
  { held, unspent, isReturning }: InHand,
  now: Moment,
): MetBucket {
  const { limit, used, leased, leasedHere, remaining, resetsAtMs } = reading;
  const left = remaining + Math.max(leased - leasedHere, 0) + held;
  const outcome = units === 0 || units <= left ? "PASSED" : isReturning ? "UNKNOWN" : "FAILED";
  const retryAfterMs =
    outcome === "FAILED" ? refillMs(reading, units - held - remaining, units, now) : undefined;
  const untold = isReturning ? 0 : Math.max(leasedHere - unspent, 0);
  const counted = { used: used + untold, leased: leased - untold, remaining, held };
  return { limit, units, ...counted, resetsAtMs, outcome, left, retryAfterMs };
}

function refillMs(
  { unitsPerMs, capacity, resetsAtMs }: BucketReading,
  missing: number,
  units: number,
  now: Moment,
): number | undefined {
  if (units > capacity) return undefined;
  if (unitsPerMs !== undefined) return Math.ceil(missing / unitsPerMs);
  return resetsAtMs === undefined ? undefined : Math.max(resetsAtMs - now.wallMs, 0);
}
