import { type Failure, failedPrecondition } from "@gatehouse/service/failure";

/**
 * A reservation: a decision whose charges are an estimate until its cost is known.
 *
 * Two things become known of it, in either order: what its batch says (`held`), and what its verifier says
 * (`settlement`). The verifier is often first, for batches come a second later. It is open until either it is settled
 * or its time is over; that an expired one is over needs no record, its id says so. Both settlements are final. Once
 * both are known, what it cost other than its estimate is booked, once: `isBooked` changes in the transaction that
 * books it, with the row locked.
 */
export interface Reservation {
  readonly decisionId: string;
  readonly expiresAtMs: number;
  readonly held: HeldEstimate | undefined;
  readonly settlement: Settlement | undefined;
  readonly isBooked: boolean;
  /** What it costs in the end; known once it is booked. */
  readonly charged?: Charged | undefined;
}

/** Units by meter. */
export type Units = ReadonlyMap<string, number>;

/** Micros by currency, above 0; nothing for what is free. */
export type Charged = ReadonlyMap<string, number>;

/** An estimate as it was charged. */
export interface HeldEstimate {
  readonly keyId: string;
  /** Empty for none. */
  readonly parentKeyId: string;
  readonly accountId: string;
  readonly resource: string;
  /** Unix time of the minute that it is booked in, in minutes. */
  readonly minute: number;
  readonly estimate: Units;
  /** What was taken of quotas for it. */
  readonly draws: readonly QuotaDraw[];
  /** What of it has a price. */
  readonly costs: readonly HeldCost[];
  /** The wallets that it was taken of. */
  readonly walletIds: readonly string[];
}

/** What the estimate of one meter cost, as it was charged. */
export interface HeldCost {
  readonly meter: string;
  readonly priceId: string;
  readonly currency: string;
  readonly micros: number;
}

/** Units that were taken from a quota's bucket of one window. */
export interface QuotaDraw {
  readonly bucketId: string;
  readonly limitId: string;
  readonly units: number;
}

/**
 * What it cost: nothing where it is released; a meter of the estimate that a commit does not name keeps that. More than
 * the estimate is booked only where the verifier may say so: what nobody admitted would draw on the limits and the bill
 * of accounts above, too.
 */
export type Settlement =
  | { readonly kind: "COMMITTED"; readonly cost: Units; readonly mayExceed: boolean }
  | { readonly kind: "RELEASED" };

/**
 * Whether this settles it; not where it was settled so before. Throws Failure FAILED_PRECONDITION (FINAL_STATE) where it
 * was settled otherwise, or not in time.
 */
export function settles(reservation: Reservation, settlement: Settlement, nowMs: number): boolean {
  const before = reservation.settlement;
  if (before === undefined) {
    if (nowMs >= reservation.expiresAtMs) throw final("the reservation has expired: its estimate stands");
    return true;
  }
  if (isSame(before, settlement)) return false;
  throw final(
    before.kind === "RELEASED" ? "the reservation was released" : "the reservation was committed otherwise",
  );
}

/** What a reserved call costs in the end, by meter. */
export function finalCost(estimate: Units, settlement: Settlement): Units {
  const base = [...estimate];
  if (settlement.kind === "RELEASED") return new Map(base.map(([meter]) => [meter, 0]));
  if (settlement.mayExceed) return new Map([...base, ...settlement.cost]);
  return new Map(base.map(([meter, units]) => [meter, Math.min(units, settlement.cost.get(meter) ?? units)]));
}

/** What that is more than the estimate, or less, by meter; nothing where it is the same. */
export function differences(estimate: Units, settlement: Settlement): Units {
  const changes = [...finalCost(estimate, settlement)].map(
    ([meter, units]) => [meter, units - (estimate.get(meter) ?? 0)] as const,
  );
  return new Map(changes.filter(([, units]) => units !== 0));
}

function isSame(one: Settlement, other: Settlement): boolean {
  if (one.kind === "RELEASED" || other.kind === "RELEASED") return one.kind === other.kind;
  const [left, right] = [one.cost, other.cost];
  return left.size === right.size && [...left].every(([meter, units]) => right.get(meter) === units);
}

function final(message: string): Failure {
  return failedPrecondition("FINAL_STATE", message);
}
