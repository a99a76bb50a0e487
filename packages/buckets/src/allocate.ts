/**
 * Granting the asks of one transaction, first come first served, each over its whole set of buckets or not at all.
 *
 * All or nothing and in order, because of this interleaving: two holders each hold the last unit of one of two
 * buckets and each lack the other's. Recalled, the units come back; were each holder granted what is there one
 * bucket at a time, they would swap units forever. So an ask that waits keeps a claim on every unit it needs:
 * later asks cannot take those, and when the lacking ones arrive the first waiter has its set complete.
 *
 * An ask that can never be met from what is left claims nothing: it must not stall others for a recall that
 * cannot help it.
 */

import { assertUnits } from "./assert-units.ts";
import { leaseSize } from "./lease-size.ts";

export interface Ask {
  readonly holder: string;
  /** Each bucket once. */
  readonly needs: readonly Need[];
}

export interface Need {
  readonly bucket: string;
  /** All of these or nothing; 0 to fill up in the background, which never waits and never is refused. */
  readonly need: number;
  /** Up to this many if there is plenty. */
  readonly want: number;
}

/** A bucket as its locked row and its leases are when the transaction begins. */
export interface AllocatableBucket {
  /** Units that can be leased; may be negative. */
  readonly available: number;
  /** Units leased to each live holder: one that may still return some. */
  readonly leased: ReadonlyMap<string, number>;
  /** Live holders that draw on the bucket, the asking ones included, ≥ 1: the divisor of lease sizes. */
  readonly holders: number;
}

export type Allocation = Granted | Wait | Exhausted;

export interface Granted {
  readonly kind: "granted";
  /** In the order of the needs; `units` may be 0 where `need` was. */
  readonly grants: readonly { readonly bucket: string; readonly units: number }[];
}

/** Not now: others hold, or earlier asks of the same call claim, what is lacking. */
export interface Wait {
  readonly kind: "wait";
  readonly lacking: readonly Shortfall[];
}

/** `units` ≥ 1 are missing in `bucket`; `elsewhere` of it are leased to others, 0 if only a claim is in the way. */
export interface Shortfall {
  readonly bucket: string;
  readonly units: number;
  readonly elsewhere: number;
}

/** What is available and leased to others together is less than the need of this bucket, the first such. */
export interface Exhausted {
  readonly kind: "exhausted";
  readonly bucket: string;
  readonly available: number;
  readonly elsewhere: number;
}

/**
 * One allocation per ask, in their order. The caller books the grants; nothing passed in is changed.
 * Throws RangeError for a bucket that is not in `buckets` or is named twice in one ask, and for units that are
 * no safe integers ≥ 0.
 */
export function allocate(
  asks: readonly Ask[],
  buckets: ReadonlyMap<string, AllocatableBucket>,
): readonly Allocation[] {
  const shelves = new Map<string, Shelf>();
  return asks.map((ask) => allocateOne(ask, shelvesOf(ask, buckets, shelves)));
}

/** What is left of a bucket after the asks before. */
interface Shelf {
  readonly holders: number;
  readonly leased: Map<string, number>;
  leasedUnits: number;
  available: number;
  /** Units that waiting asks need, whether they are here yet or not. */
  claimed: number;
}

type ShelvedNeed = Need & { readonly shelf: Shelf };

function allocateOne({ holder }: Ask, needs: readonly ShelvedNeed[]): Allocation {
  const lacking: Shortfall[] = [];
  for (const { bucket, need, shelf } of needs) {
    const elsewhere = shelf.leasedUnits - (shelf.leased.get(holder) ?? 0);
    if (need > 0 && shelf.available + elsewhere < need) {
      return { kind: "exhausted", bucket, available: shelf.available, elsewhere };
    }
    const units = need - free(shelf);
    if (need > 0 && units > 0) lacking.push({ bucket, units, elsewhere });
  }
  if (lacking.length > 0) {
    for (const { need, shelf } of needs) shelf.claimed += need;
    return { kind: "wait", lacking };
  }
  return { kind: "granted", grants: needs.map((need) => grant(need, holder)) };
}

function grant({ bucket, need, want, shelf }: ShelvedNeed, holder: string) {
  const units = leaseSize({ available: free(shelf), need, want, holders: shelf.holders });
  shelf.available -= units;
  shelf.leasedUnits += units;
  shelf.leased.set(holder, (shelf.leased.get(holder) ?? 0) + units);
  return { bucket, units };
}

function free(shelf: Shelf): number {
  return shelf.available - shelf.claimed;
}

function shelvesOf(
  { needs }: Ask,
  buckets: ReadonlyMap<string, AllocatableBucket>,
  shelves: Map<string, Shelf>,
): ShelvedNeed[] {
  if (new Set(needs.map(({ bucket }) => bucket)).size < needs.length) {
    throw new RangeError("an ask names a bucket twice");
  }
  return needs.map((need) => {
    assertUnits("need", need.need);
    assertUnits("want", need.want);
    const shelf = shelves.get(need.bucket) ?? shelve(need.bucket, buckets);
    shelves.set(need.bucket, shelf);
    return { ...need, shelf };
  });
}

function shelve(id: string, buckets: ReadonlyMap<string, AllocatableBucket>): Shelf {
  const bucket = buckets.get(id);
  if (bucket === undefined) throw new RangeError(`an ask names bucket ${id}, which was not given`);
  const leased = new Map(bucket.leased);
  const leasedUnits = leased.values().reduce((sum, units) => sum + units, 0);
  return { holders: bucket.holders, leased, leasedUnits, available: bucket.available, claimed: 0 };
}
