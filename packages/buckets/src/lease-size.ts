/**
 * How many units travel in one lease. Both sides keep it near demand: the holder asks for a few seconds' worth
 * ahead of running out, and the bucket grants less as it empties, so that the last units lie where the next
 * call comes from and not in a holder that does not need them.
 */

import { assertUnits } from "./assert-units.ts";

/**
 * A holder may get half of an even split: if every holder asks at once, half of the bucket stays for those who
 * turn out to need more.
 */
const SHARE_DIVISOR = 2;

/** A quarter left is, at a lease of a few seconds of demand, many round trips ahead of empty. */
const LOW_WATER_DIVISOR = 4;

/**
 * The units to grant of `available` (which may be negative) to one of `holders` ≥ 1 live holders: 0 if they do
 * not cover `need`, else at least `need` and at most the larger of `need` and `want`. `need` 0 is an ask in the
 * background.
 * Throws RangeError on units that are no safe integers ≥ 0.
 */
export function leaseSize(ask: {
  readonly available: number;
  readonly need: number;
  readonly want: number;
  readonly holders: number;
}): number {
  assertUnits("need", ask.need);
  assertUnits("want", ask.want);
  assertUnits("holders - 1", ask.holders - 1);
  if (ask.available < ask.need) return 0;
  const share = Math.floor(ask.available / (SHARE_DIVISOR * ask.holders));
  return Math.max(ask.need, Math.min(ask.want, share));
}

/**
 * The units a holder wants: `targetSeconds` of its demand, within [floor, cap] (`cap` wins over `floor`). The
 * floor lets a first lease be worth its round trip, the cap bounds what a vanished holder forfeits.
 * Throws RangeError unless demand and target are finite and ≥ 0.
 */
export function wantFor(demandPerSecond: number, targetSeconds: number, floor: number, cap: number): number {
  const demand = demandPerSecond * targetSeconds;
  if (!Number.isFinite(demand) || demand < 0)
    throw new RangeError(`demand must be finite and ≥ 0, not ${demand}`);
  return Math.min(cap, Math.max(floor, Math.ceil(demand)));
}

/** Ask for more in the background once no more than this is left of `granted` units; 0 for less than 4. */
export function lowWater(granted: number): number {
  return Math.floor(granted / LOW_WATER_DIVISOR);
}
