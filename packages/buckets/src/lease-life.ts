/**
 * How long a lease of a rate lives. A short life costs its holder a renewal every second or two for each bucket that
 * it uses, and spares the bucket little: units that a holder sits on are called back when somebody lacks them. What
 * only the deadline gives back are the units of a holder that vanished. So a lease lives long where these would not
 * be missed, and shortly where they would: in a bucket that is half empty, or that is shared.
 *
 * The promise of the bucket does not hang on it: leased units are under the cap on refill however long they are out.
 */

import { assertUnits } from "./assert-units.ts";

/**
 * The life of a lease of a bucket that has `available` units left beside it (which may be negative) of at most
 * `burst`, and in which `others` more hold units: `leastMs` if half of it or more is gone, up to `mostMs` if it is full
 * and nobody else's. Whole milliseconds.
 * Throws RangeError unless 0 ≤ leastMs ≤ mostMs, and burst and others are safe integers ≥ 0.
 */
export function leaseLife(bucket: {
  readonly available: number;
  readonly burst: number;
  readonly others: number;
  readonly leastMs: number;
  readonly mostMs: number;
}): number {
  const { available, burst, others, leastMs, mostMs } = bucket;
  assertUnits("burst", burst);
  assertUnits("others", others);
  assertUnits("leastMs", leastMs);
  assertUnits("mostMs - leastMs", mostMs - leastMs);
  if (burst === 0) return leastMs;
  const plenty = Math.min(1, Math.max(0, (2 * available) / burst - 1));
  return leastMs + Math.floor(((mostMs - leastMs) * plenty) / (1 + others));
}
