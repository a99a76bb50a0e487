/**
 * Units that several buckets draw on, a part of which is kept for some of them.
 *
 * What is kept for a bucket and not leased to it yet, no other gets; beyond that, each takes of what is left to all.
 * So with k(b) kept for b, d(b) of them drawn, and D drawn in all, another bucket may have
 * capacity − D − Σ (k(b) − d(b)). Where less is left than is kept in all, which takes a capacity that was lowered or usage
 * that nobody asked for, none can have what it was promised: then what is left is for those who have a part, first
 * come first served, and for nobody else.
 */
export class Pool {
  /** Units that can be leased to anybody; may be negative. */
  #available: number;
  readonly #kept: Map<string, number>;
  #keptUnits = 0;

  constructor(available: number, kept: ReadonlyMap<string, number> = NOTHING) {
    this.#available = available;
    this.#kept = new Map(kept);
    for (const units of kept.values()) this.#keptUnits += units;
  }

  /** What can be leased to a bucket; may be negative. */
  availableTo(bucket: string): number {
    const own = this.#kept.get(bucket) ?? 0;
    return Math.max(this.#available - (this.#keptUnits - own), Math.min(own, this.#available));
  }

  /** What is kept for others, as long as there is as much. */
  keptFromOthers(bucket: string): number {
    return Math.max(0, this.#available - Math.max(0, this.availableTo(bucket)));
  }

  /** Takes units, first of what is kept for the bucket; answers how many of them were. */
  take(bucket: string, units: number): number {
    const own = this.#kept.get(bucket) ?? 0;
    const ofKept = Math.min(own, units);
    this.#available -= units;
    this.#keptUnits -= ofKept;
    if (ofKept > 0) this.#kept.set(bucket, own - ofKept);
    return ofKept;
  }
}

const NOTHING: ReadonlyMap<string, number> = new Map();
