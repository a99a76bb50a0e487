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
import { Pool } from "./pool.ts";

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
  /** Units that can be leased; may be negative. Of a pool, to anybody. */
  readonly available: number;
  /** Units leased to each live holder: one that may still return some. */
  readonly leased: ReadonlyMap<string, number>;
  /** Live holders that draw on the bucket, the asking ones included, ≥ 1: the divisor of lease sizes. */
  readonly holders: number;
  /** Where other buckets draw on the same units: the same object for all of them. */
  readonly pool?: BucketPool | undefined;
}

/** Several buckets that draw on the same units. */
export interface BucketPool {
  /** Units that only this bucket can be leased and that it was not leased yet. */
  readonly kept: ReadonlyMap<string, number>;
  /** How many of the units that are leased of a bucket were kept for it: these come back to it alone. */
  readonly leasedOfKept: ReadonlyMap<string, number>;
  /** Units leased under other names, which come back to all. */
  readonly leasedBesides: number;
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
  const stocks = new Map<BucketPool, Stock>();
  return asks.map((ask) => allocateOne(ask, shelvesOf(ask, buckets, shelves, stocks)));
}

/** What is left of a bucket after the asks before. */
interface Shelf {
  readonly bucket: string;
  readonly holders: number;
  readonly stock: Stock;
  /** By holder. */
  readonly leased: Map<string, number>;
  /** Of those, what comes back to this bucket alone. */
  ofKeptUnits: number;
}

/** What the buckets of one pool share, or what one bucket has for itself. */
interface Stock {
  readonly now: Pool;
  /** Without the units that waiting asks need, whether they are here yet or not. */
  readonly unclaimed: Pool;
  /** Leased to anybody under any name, without what comes back to one bucket alone. */
  leasedOfAll: number;
}

type ShelvedNeed = Need & { readonly shelf: Shelf };

function allocateOne({ holder }: Ask, needs: readonly ShelvedNeed[]): Allocation {
  const lacking: Shortfall[] = [];
  for (const { bucket, need, shelf } of needs) {
    const elsewhere = elsewhereOf(shelf, holder);
    const available = shelf.stock.now.availableTo(bucket);
    if (need > 0 && available + elsewhere < need) return { kind: "exhausted", bucket, available, elsewhere };
    const units = need - free(shelf);
    if (need > 0 && units > 0) lacking.push({ bucket, units, elsewhere });
  }
  if (lacking.length > 0) {
    for (const { bucket, need, shelf } of needs) shelf.stock.unclaimed.take(bucket, need);
    return { kind: "wait", lacking };
  }
  return { kind: "granted", grants: needs.map((need) => grant(need, holder)) };
}

function grant({ bucket, need, want, shelf }: ShelvedNeed, holder: string) {
  const units = leaseSize({ available: free(shelf), need, want, holders: shelf.holders });
  const ofKept = shelf.stock.now.take(bucket, units);
  shelf.stock.unclaimed.take(bucket, units);
  shelf.stock.leasedOfAll += units - ofKept;
  shelf.leased.set(holder, (shelf.leased.get(holder) ?? 0) + units);
  shelf.ofKeptUnits += ofKept;
  return { bucket, units };
}

function free({ stock, bucket }: Shelf): number {
  return stock.unclaimed.availableTo(bucket);
}

// What may come back to the bucket: of what others hold, all but what was kept for another one.
function elsewhereOf({ stock, leased, ofKeptUnits }: Shelf, holder: string): number {
  return stock.leasedOfAll + ofKeptUnits - (leased.get(holder) ?? 0);
}

function shelvesOf(
  { needs }: Ask,
  buckets: ReadonlyMap<string, AllocatableBucket>,
  shelves: Map<string, Shelf>,
  stocks: Map<BucketPool, Stock>,
): ShelvedNeed[] {
  if (new Set(needs.map(({ bucket }) => bucket)).size < needs.length) {
    throw new RangeError("an ask names a bucket twice");
  }
  return needs.map((need) => {
    assertUnits("need", need.need);
    assertUnits("want", need.want);
    const shelf = shelves.get(need.bucket) ?? shelve(need.bucket, buckets, stocks);
    shelves.set(need.bucket, shelf);
    return { ...need, shelf };
  });
}

function shelve(
  id: string,
  buckets: ReadonlyMap<string, AllocatableBucket>,
  stocks: Map<BucketPool, Stock>,
): Shelf {
  const bucket = buckets.get(id);
  if (bucket === undefined) throw new RangeError(`an ask names bucket ${id}, which was not given`);
  const { available, holders, pool } = bucket;
  const stock = (pool && stocks.get(pool)) ?? stockOf(available, bucket, buckets);
  if (pool !== undefined) stocks.set(pool, stock);
  return {
    bucket: id,
    holders,
    stock,
    leased: new Map(bucket.leased),
    ofKeptUnits: pool?.leasedOfKept.get(id) ?? 0,
  };
}

function stockOf(
  available: number,
  { leased, pool }: AllocatableBucket,
  buckets: ReadonlyMap<string, AllocatableBucket>,
): Stock {
  const stock = { now: new Pool(available, pool?.kept), unclaimed: new Pool(available, pool?.kept) };
  if (pool === undefined) return { ...stock, leasedOfAll: sumOf(leased) };
  let leasedOfAll = pool.leasedBesides;
  for (const [id, other] of buckets) {
    if (other.pool !== pool) continue;
    leasedOfAll += sumOf(other.leased) - (pool.leasedOfKept.get(id) ?? 0);
  }
  return { ...stock, leasedOfAll };
}

function sumOf(units: ReadonlyMap<string, number>): number {
  return units.values().reduce((sum, each) => sum + each, 0);
}
