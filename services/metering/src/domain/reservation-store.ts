import type { RateState, Window } from "@gatehouse/buckets";
import type { SettledReservation } from "./book-settlements.ts";
import type { DrawnBucket } from "./drawn-bucket.ts";
import type { Limit, RateLimit } from "./limit.ts";
import type { Pricing } from "./pricing.ts";
import type { Charged, Reservation, Settlement } from "./reservation.ts";
import type { MinuteUsage } from "./usage.ts";

export interface LockedRate {
  readonly limit: RateLimit;
  readonly state: RateState;
}

/** A transaction over reservations. Locks them first, then quotas' buckets by id, then rates' by limit. */
export interface ReservationTx {
  readonly pricing: Pricing;
  /**
   * Locks a reservation, with the database's time once it is locked. One that is not there is noted, as one of which
   * no batch has told; that is undone with the transaction.
   */
  lock(decisionId: string, expiresAtMs: number): Promise<{ reservation: Reservation; nowMs: number }>;
  putSettlement(decisionId: string, settlement: Settlement): Promise<void>;
  /** Locks reservations that are to be booked and whose accounts are known, passing over those locked elsewhere. */
  lockDue(most: number): Promise<{ due: readonly SettledReservation[]; nowMs: number }>;
  /** Each known account, then its ancestors. */
  paths(accountIds: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>>;
  /** The limits on these nodes, and those with these ids. */
  limits(nodeIds: readonly string[], limitIds: readonly string[]): Promise<readonly Limit[]>;
  /** The buckets of the windows that `atMs` is in, by limit; one that was not written down yet is now. */
  quotasAt(
    limitIds: readonly string[],
    atMs: number,
    windowOf: (limitId: string) => Window,
  ): Promise<ReadonlyMap<string, string>>;
  /** Adds to what is spent of buckets, which may be below zero; none is spent less than nothing. Answers their windows. */
  draw(units: ReadonlyMap<string, number>): Promise<readonly DrawnBucket[]>;
  /**
   * Locks the buckets of rates, with their limits as they are once it is locked: changing a limit locks its bucket too.
   * One whose state was lost is left out: it starts anew, empty.
   */
  lockRates(limitIds: readonly string[]): Promise<readonly LockedRate[]>;
  writeRates(states: ReadonlyMap<string, RateState>): Promise<void>;
  bookUsage(usage: readonly MinuteUsage[]): Promise<void>;
  /** Notes that these are booked, and what each costs in the end. */
  markBooked(charged: ReadonlyMap<string, Charged>): Promise<void>;
  /** Once this has committed: calls every lease of some limits back, and wakes those who wait for others. */
  notify(recalled: readonly string[], freed: readonly string[]): Promise<void>;
}

export interface ReservationStore {
  /** Runs `work` in a transaction; it may run more than once, and has no effect outside `tx`. */
  transact<T>(work: (tx: ReservationTx) => Promise<T>): Promise<T>;
}
