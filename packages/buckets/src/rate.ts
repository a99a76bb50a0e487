/**
 * The arithmetic of a rate bucket: `units` per `intervalMs`, refilled continuously up to `burst`.
 *
 * The promise: for all a ≤ b, the units truly spent in [a, b] are at most burst + rate × (b − a). It holds if
 * what is available plus what holders have in hand unspent never exceeds the level of an ideal bucket that
 * saw every spend as it happened. Two rules keep it so:
 *
 * - Refill only while available + leased < burst. Were leased units left out of the cap, a holder could sit on
 *   a lease while the bucket fills again behind it, then spend both at once: twice the burst in an instant.
 * - A spend is known only when it is reported, but its refill began when it was spent. If the bucket was full
 *   in between, that refill was let pass; the idle spans remember it and {@link settle} claims it back. Without
 *   this a limit of 1 per second with a report every half second admits less than 1 per second.
 *
 * Reports may come late, out of order, or never ({@link forfeit}). Where something must be forgotten (see
 * MAX_IDLE_SPANS), refill is lost, never invented. The level is exact: whole units plus a carry in parts of
 * 1/intervalMs of a unit.
 *
 * Times are integers in ms since the epoch by one clock; a time that goes backwards refills nothing. All
 * functions are pure and return the next state. They throw RangeError on units that are no safe integers ≥ 0
 * or that are not where the caller says they are.
 */

import { assertHeld, assertUnits } from "./assert-units.ts";
import { addIdle, claimIdle, type IdleSpan } from "./idle.ts";

export interface RateSpec {
  /** Refilled per interval, ≥ 1. */
  readonly units: number;
  /** ≥ 1. */
  readonly intervalMs: number;
  /** The most the bucket holds, ≥ 0; 0 admits nothing. */
  readonly burst: number;
}

export interface RateState {
  /** Whole units that can be leased; negative after late usage or a lowered burst: then it admits nothing. */
  readonly available: number;
  /** Parts of the next unit: 0 ≤ carryParts < intervalMs. */
  readonly carryParts: number;
  /** In the hands of holders, ≥ 0: spent or not, nobody here knows yet. */
  readonly leased: number;
  /** Refill is accounted up to here. */
  readonly accountedAtMs: number;
  /** When the bucket was full, as far as a late report may still ask; at most MAX_IDLE_SPANS, in order. */
  readonly idle: readonly IdleSpan[];
}

/** Units spent (or given back), by the time of the last of them: a chunk that spans time is as late as its end. */
export interface Spend {
  readonly units: number;
  readonly spentAtMs: number;
}

/** A full bucket: of a new limit, or after a reset. */
export function open(spec: RateSpec, nowMs: number): RateState {
  assertRateSpec(spec);
  return { available: spec.burst, carryParts: 0, leased: 0, accountedAtMs: nowMs, idle: [] };
}

/**
 * An empty bucket, for one whose state was lost: it refills from `refillsFromMs`, which must not be before the
 * last deadline of the leases forgotten with it (else their holders spend on top of a full bucket).
 */
export function openEmpty(spec: RateSpec, refillsFromMs: number): RateState {
  return { ...open(spec, refillsFromMs), available: 0 };
}

/** Accounts the refill up to `nowMs`. Call it before reading `available` or taking. */
export function refill(state: RateState, spec: RateSpec, nowMs: number): RateState {
  const elapsedMs = nowMs - state.accountedAtMs;
  if (elapsedMs <= 0) return state;
  const deficit = deficitParts(state, spec);
  const arrived = BigInt(elapsedMs) * BigInt(spec.units);
  const refilled = credit({ ...state, accountedAtMs: nowMs }, spec, arrived < deficit ? arrived : deficit);
  if (arrived <= deficit) return refilled;
  return { ...refilled, idle: addIdle(state.idle, spec.units, deficit, state.accountedAtMs, nowMs) };
}

/** Leases `units` to a holder; there must be as many available. */
export function take(state: RateState, units: number): RateState {
  assertUnits("units", units);
  if (units > 0) assertHeld("units taken", units, state.available);
  return { ...state, available: state.available - units, leased: state.leased + units };
}

/** Books what a holder did with leased units: each of `spent` when it was spent; `returned` are available again. */
export function settle(
  state: RateState,
  spec: RateSpec,
  { spent, returned }: { readonly spent: readonly Spend[]; readonly returned: number },
  nowMs: number,
): RateState {
  assertUnits("returned", returned);
  const spentUnits = spent.reduce((sum, { units }) => sum + units, 0);
  assertHeld("units settled", spentUnits + returned, state.leased);
  const refilled = refill(state, spec, nowMs);
  // To `charge`, a settled unit is one that was never leased.
  const settled = {
    ...refilled,
    available: refilled.available + spentUnits + returned,
    leased: refilled.leased - spentUnits - returned,
  };
  return spent.reduce((next, spend) => charge(next, spec, spend, nowMs), settled);
}

/**
 * A holder vanished with `units`: they count as spent at the lease's deadline, the latest they can have been.
 * Throws RangeError before the deadline, when they may yet be spent.
 */
export function forfeit(
  state: RateState,
  spec: RateSpec,
  { units, deadlineMs }: { readonly units: number; readonly deadlineMs: number },
  nowMs: number,
): RateState {
  if (nowMs < deadlineMs) throw new RangeError("a lease cannot be forfeited before its deadline");
  return settle(state, spec, { spent: [{ units, spentAtMs: deadlineMs }], returned: 0 }, nowMs);
}

/** Books units that no lease covered (late usage, a commit above its estimate), even below zero. */
export function charge(state: RateState, spec: RateSpec, spend: Spend, nowMs: number): RateState {
  assertUnits("units", spend.units);
  const refilled = refill(state, spec, nowMs);
  const spentParts = BigInt(spend.units) * BigInt(spec.intervalMs);
  const { claimedParts, spans } = claimIdle(refilled.idle, spec.units, spend.spentAtMs, spentParts);
  const charged = { ...refilled, available: refilled.available - spend.units, idle: spans };
  return credit(charged, spec, claimedParts);
}

/**
 * Takes back units that were booked as spent at `spentAtMs` but were not: a released reservation, a forfeit put
 * right. What has refilled since then is not given a second time, so this may credit nothing.
 */
export function giveBack(state: RateState, spec: RateSpec, spend: Spend, nowMs: number): RateState {
  assertUnits("units", spend.units);
  const refilled = refill(state, spec, nowMs);
  const sinceMs = Math.max(0, refilled.accountedAtMs - spend.spentAtMs);
  const owed = BigInt(spend.units) * BigInt(spec.intervalMs) - BigInt(sinceMs) * BigInt(spec.units);
  const deficit = deficitParts(refilled, spec);
  return owed <= 0n ? refilled : credit(refilled, spec, owed < deficit ? owed : deficit);
}

/**
 * In how many ms after `nowMs` will `need` units be available if nothing more is taken and what is leased is being
 * spent now; 0 if they are already, Infinity if the bucket never holds as many.
 */
export function retryAfterMs(state: RateState, spec: RateSpec, need: number, nowMs: number): number {
  assertUnits("need", need);
  if (need > spec.burst) return Number.POSITIVE_INFINITY;
  const { available, carryParts, accountedAtMs } = refill(state, spec, nowMs);
  if (available >= need) return 0;
  const missing = BigInt(need - available) * BigInt(spec.intervalMs) - BigInt(carryParts);
  const rate = BigInt(spec.units);
  return Math.max(0, accountedAtMs - nowMs) + Number((missing + rate - 1n) / rate);
}

/**
 * The limit was raised or lowered: what is used and leased stays used and leased, so lowering may leave the
 * bucket below zero. The interval is part of a bucket's identity: throws RangeError if it differs.
 */
export function resize(state: RateState, from: RateSpec, to: RateSpec, nowMs: number): RateState {
  assertRateSpec(to);
  if (to.intervalMs !== from.intervalMs) throw new RangeError("another interval is another bucket");
  const refilled = refill(state, from, nowMs);
  return {
    ...refilled,
    available: refilled.available + to.burst - from.burst,
    // Idle time is counted in parts of the old rate; forgetting it only loses refill.
    idle: to.units === from.units ? refilled.idle : [],
  };
}

/** Throws RangeError unless units ≥ 1, intervalMs ≥ 1 and burst ≥ 0 are safe integers. */
function assertRateSpec(spec: RateSpec): void {
  assertUnits("units - 1", spec.units - 1);
  assertUnits("intervalMs - 1", spec.intervalMs - 1);
  assertUnits("burst", spec.burst);
}

/** What is missing to full, in parts; 0 when full. */
function deficitParts(state: RateState, spec: RateSpec): bigint {
  const missing = BigInt(spec.burst - state.available - state.leased) * BigInt(spec.intervalMs);
  return missing - BigInt(state.carryParts);
}

function credit(state: RateState, spec: RateSpec, parts: bigint): RateState {
  if (parts === 0n) return state;
  const interval = BigInt(spec.intervalMs);
  const total = parts + BigInt(state.carryParts);
  return {
    ...state,
    available: state.available + Number(total / interval),
    carryParts: Number(total % interval),
  };
}
