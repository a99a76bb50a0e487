import type { Alert } from "./alert.ts";

/**
 * What is remembered of an alert in one window. A window without it was never at or above the threshold.
 *
 * In a window the value begins below: RISING is passed the first time it is at or above, FALLING the first time it is
 * below after that, and then that window is done with, whatever late usage, a reset or a changed limit makes of it.
 * A balance has no window and no beginning: the first look tells where it is, and from then on each way across counts.
 */
export interface WindowState {
  readonly isReached: boolean;
  /** How often the threshold was passed in the alert's direction. */
  readonly crossings: number;
}

/** A value as it is, or was, and the threshold for it; both integers. */
export interface Reading {
  readonly value: bigint;
  readonly threshold: bigint;
}

/** What one more reading makes of a window: its state, and whether that is to be told. */
export function step(
  { subject, direction }: Pick<Alert, "subject" | "direction">,
  before: WindowState | undefined,
  { value, threshold }: Reading,
): { readonly state: WindowState | undefined; readonly isTold: boolean } {
  const isReached = value >= threshold;
  if (subject.kind === "BALANCE") {
    if (before === undefined) return { state: { isReached, crossings: 0 }, isTold: false };
    const isTold = before.isReached !== isReached && isReached === (direction === "RISING");
    return { state: { isReached, crossings: before.crossings + (isTold ? 1 : 0) }, isTold };
  }
  if (before === undefined) {
    // Most windows are here: nothing is written down of them.
    if (!isReached) return { state: undefined, isTold: false };
    const isTold = direction === "RISING";
    return { state: { isReached: true, crossings: isTold ? 1 : 0 }, isTold };
  }
  if (before.crossings > 0) return { state: before, isTold: false };
  const isTold = direction === "RISING" ? isReached : !isReached;
  return isTold ? { state: { isReached, crossings: 1 }, isTold } : { state: before, isTold };
}

const MILLION = 1_000_000n;

/** The least units that are so much of a limit: one at least, so that a limit of none is not reached by nothing. */
export function shareOf(units: bigint, shareMillionths: number): bigint {
  const least = (units * BigInt(shareMillionths) + MILLION - 1n) / MILLION;
  return least < 1n ? 1n : least;
}
