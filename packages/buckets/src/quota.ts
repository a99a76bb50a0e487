/**
 * The arithmetic of a quota, for one window of it (and of a wallet, which is a quota without a window whose units
 * only top-ups and transfers change).
 *
 * Every unit of the capacity is in one of three places: available, leased to a holder, or spent. All functions
 * are pure, return the next state, and throw RangeError on units that are no safe integers ≥ 0 or that are not
 * where the caller says they are.
 */

import { assertHeld, assertUnits } from "./assert-units.ts";

export interface QuotaState {
  /** Capacity of the window, ≥ 0. */
  readonly units: number;
  /** Booked as used, ≥ 0; more than `units` after late usage or a lowered limit. */
  readonly spent: number;
  /** In the hands of holders, ≥ 0: spent or not, nobody here knows yet. */
  readonly leased: number;
}

/** A quota nobody has used yet: of a new window, or after a reset. */
export function open(units: number): QuotaState {
  assertUnits("units", units);
  return { units, spent: 0, leased: 0 };
}

/** What can still be leased. Negative after a lowered limit or late usage: then it admits nothing. */
export function available(state: QuotaState): number {
  return state.units - state.spent - state.leased;
}

/** Leases `units` to a holder; there must be as many available. */
export function take(state: QuotaState, units: number): QuotaState {
  assertUnits("units", units);
  if (units > 0) assertHeld("units taken", units, available(state));
  return { ...state, leased: state.leased + units };
}

/** Books what a holder did with leased units: `spent` are used, `returned` are available again. */
export function settle(
  state: QuotaState,
  { spent, returned }: { readonly spent: number; readonly returned: number },
): QuotaState {
  assertUnits("spent", spent);
  assertUnits("returned", returned);
  assertHeld("units settled", spent + returned, state.leased);
  return { ...state, spent: state.spent + spent, leased: state.leased - spent - returned };
}

/** A holder vanished with `units`: they count as spent, until its spool says otherwise ({@link giveBack}). */
export function forfeit(state: QuotaState, units: number): QuotaState {
  return settle(state, { spent: units, returned: 0 });
}

/** Books units that no lease covered (late usage, a commit above its estimate), even below zero. */
export function charge(state: QuotaState, units: number): QuotaState {
  assertUnits("units", units);
  const spent = state.spent + units;
  assertUnits("spent", spent);
  return { ...state, spent };
}

/** Takes back units that were booked as spent but were not: a released reservation, a forfeit put right. */
export function giveBack(state: QuotaState, units: number): QuotaState {
  assertUnits("units", units);
  assertHeld("units given back", units, state.spent);
  return { ...state, spent: state.spent - units };
}

/** The limit was raised or lowered: what is used and leased stays used and leased. */
export function resize(state: QuotaState, units: number): QuotaState {
  assertUnits("units", units);
  return { ...state, units };
}
