/**
 * Units are non-negative safe integers. A fraction or a negative here is a bug of the caller, not bad input of
 * a user, so it throws a plain RangeError instead of a domain error.
 */
export function assertUnits(name: string, units: number): void {
  if (!Number.isSafeInteger(units) || units < 0) {
    throw new RangeError(`${name} must be a non-negative safe integer, not ${units}`);
  }
}

/** Throws RangeError when `units` of `name` are taken from a place that holds only `held`. */
export function assertHeld(name: string, units: number, held: number): void {
  if (units > held) throw new RangeError(`${name} is ${units}, but only ${held} are there`);
}
