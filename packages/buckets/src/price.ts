/**
 * What calls cost. Money is counted in micros, millionths of a currency or unit; a price is so many micros for so
 * many units, so that $0.15 for a million tokens is exact.
 *
 * All functions are pure. Units and micros are safe integers ≥ 0, units of a price at least 1.
 */

import { assertUnits } from "./assert-units.ts";

/** A price as it was set. It is in force from its time on, until a later one of the same terms. */
export interface Price {
  /** `prc_…`; sorts by when it was set. */
  readonly id: string;
  readonly meter: string;
  /** A resource pattern; empty for calls to any resource, and to none. */
  readonly resource: string;
  /** Of the organization; empty for any. */
  readonly plan: string;
  /** Of the account itself; empty for any. */
  readonly accountType: string;
  readonly currency: string;
  /** For `perUnits` units; 0 makes them free. */
  readonly micros: number;
  readonly perUnits: number;
  readonly effectiveAtMs: number;
}

/** What a price is looked up for. */
export interface PricedUse {
  readonly meter: string;
  /** Empty for a call without one. */
  readonly resource: string;
  readonly plan: string;
  readonly accountType: string;
}

/** A price that is in force until a time, or that there is none. */
export interface PriceInForce {
  readonly price: Price | undefined;
  /** When another may be; Infinity for never. */
  readonly untilMs: number;
}

/**
 * The price in force for a use at a time. Of those that match and have begun, the most specific terms win, and of
 * equal ones the latest to begin, then the latest set. More specific is
 * - a resource pattern than none, and of two patterns the one that is so at the first segment in which they differ:
 *   a name before `*`, `*` before `**`. So a resource's own name comes before every wildcard;
 * - then an account type than none;
 * - then a plan than none.
 *
 * `matches` says whether a pattern matches a resource; it is not asked about calls without one.
 */
export function priceInForce(
  prices: Iterable<Price>,
  use: PricedUse,
  nowMs: number,
  matches: (pattern: string, resource: string) => boolean,
): PriceInForce {
  let price: Price | undefined;
  let untilMs = Number.POSITIVE_INFINITY;
  for (const candidate of prices) {
    if (!applies(candidate, use, matches)) continue;
    if (candidate.effectiveAtMs > nowMs) untilMs = Math.min(untilMs, candidate.effectiveAtMs);
    else if (price === undefined || compare(candidate, price) > 0) price = candidate;
  }
  return { price, untilMs };
}

/** Positive where `a` is more specific than `b`, or of the same terms and later: what both apply to costs `a`. */
export function compare(a: Price, b: Price): number {
  return (
    comparePatterns(a.resource, b.resource) ||
    Number(a.accountType !== "") - Number(b.accountType !== "") ||
    Number(a.plan !== "") - Number(b.plan !== "") ||
    a.effectiveAtMs - b.effectiveAtMs ||
    (a.id < b.id ? -1 : Number(a.id > b.id))
  );
}

/** What units cost, in whole micros, and what remains of a micro: parts of `perUnits`, to be carried to the next. */
export interface Cost {
  readonly micros: number;
  readonly carryParts: number;
}

/**
 * The cost of units with what was carried from those before: the costs of many uses, however they are grouped, add up
 * to the cost of their sum. Beyond what can be counted it is MAX_SAFE_INTEGER, which no wallet holds.
 */
export function costOf(
  units: number,
  { micros, perUnits }: Pick<Price, "micros" | "perUnits">,
  carryParts = 0,
): Cost {
  assertUnits("units", units);
  assertUnits("carryParts", carryParts);
  const parts = units * micros + carryParts;
  if (Number.isSafeInteger(parts)) {
    const whole = Math.floor(parts / perUnits);
    // A quotient of doubles may be rounded up to the next integer.
    const rest = parts - whole * perUnits;
    return rest < 0
      ? { micros: whole - 1, carryParts: rest + perUnits }
      : { micros: whole, carryParts: rest };
  }
  const exact = BigInt(units) * BigInt(micros) + BigInt(carryParts);
  const whole = exact / BigInt(perUnits);
  return {
    micros: whole > MOST_MICROS ? Number.MAX_SAFE_INTEGER : Number(whole),
    carryParts: Number(exact % BigInt(perUnits)),
  };
}

const MOST_MICROS = BigInt(Number.MAX_SAFE_INTEGER);

function applies(
  price: Price,
  use: PricedUse,
  matches: (pattern: string, resource: string) => boolean,
): boolean {
  return (
    price.meter === use.meter &&
    (price.accountType === "" || price.accountType === use.accountType) &&
    (price.plan === "" || price.plan === use.plan) &&
    (price.resource === "" || (use.resource !== "" && matches(price.resource, use.resource)))
  );
}

function comparePatterns(a: string, b: string): number {
  if (a === b) return 0;
  if (a === "" || b === "") return a === "" ? -1 : 1;
  const [as, bs] = [a.split("."), b.split(".")];
  for (let i = 0; i < Math.max(as.length, bs.length); i++) {
    const difference = rank(as[i]) - rank(bs[i]);
    if (difference !== 0) return difference;
  }
  return 0;
}

// `a` is more specific than `a.**`, which may end there too.
function rank(segment: string | undefined): number {
  if (segment === "**") return 0;
  return segment === "*" ? 1 : 2;
}
