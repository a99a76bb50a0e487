import type { KeyView } from "@gatehouse/access";
import type { ReservedDecisionIds } from "@gatehouse/keys";
import { notFound } from "@gatehouse/service/failure";
import { type DueSettlements, UNTOLD } from "./due-settlements.ts";
import { type Charged, finalCost, type Settlement, settles, type Units } from "./reservation.ts";
import type { ReservationStore } from "./reservation-store.ts";

export interface ReservationDependencies {
  readonly store: ReservationStore;
  readonly due: DueSettlements;
  readonly ids: ReservedDecisionIds;
}

/** What a verifier says of a reservation. */
export type SettlementWish =
  | { readonly kind: "COMMITTED"; readonly cost: Units }
  | { readonly kind: "RELEASED" };

/** What a settled reservation costs. */
export interface Settled {
  readonly cost: Units;
  /** Its batch has not come yet: the cost, as far as it is known, is booked when it does. */
  readonly isPending: boolean;
  /** What that is in money; not known while it is pending. */
  readonly charged: Charged;
}

/**
 * Books what a reservation cost, or gives its estimate back. Both are repeatable: the same again is answered as the
 * first time, for an hour beyond the reservation's time.
 *
 * A settlement is noted first and booked then, together with others; who crashes in between leaves it to be booked
 * within a second. Of a reservation that is not known yet only the settlement is kept, under an id that proves itself;
 * the batch finds it. Whether it came in time is told by the database's clock, so that it does not matter which replica
 * is asked.
 *
 * Throws Failure NOT_FOUND, alike for every id that was not given to the caller's key, and FAILED_PRECONDITION
 * (FINAL_STATE).
 */
export async function settleReservation(
  { store, due, ids }: ReservationDependencies,
  caller: KeyView,
  decisionId: string,
  wish: SettlementWish,
): Promise<Settled> {
  const expiresAtMs = ids.expiryOf(decisionId, caller.key.id);
  if (expiresAtMs === undefined) throw notFound("reservation");
  const settlement: Settlement = wish.kind === "RELEASED" ? wish : { ...wish, mayExceed: mayExceed(caller) };
  const { held, isBooked, charged } = await store.transact(async (tx) => {
    const { reservation, nowMs } = await tx.lock(decisionId, expiresAtMs);
    if (settles(reservation, settlement, nowMs)) await tx.putSettlement(decisionId, settlement);
    return reservation;
  });
  if (held === undefined) return { cost: costSoFar(settlement), isPending: true, charged: UNTOLD };
  const booked = isBooked ? (charged ?? UNTOLD) : await due.bookOne(decisionId, expiresAtMs);
  const cost = finalCost(held.estimate, settlement);
  return { cost, isPending: booked === undefined, charged: booked ?? UNTOLD };
}

// What is held to an estimate is not known before that is.
function costSoFar(settlement: Settlement): Units {
  return settlement.kind === "COMMITTED" && settlement.mayExceed ? settlement.cost : new Map();
}

/**
 * The provider's verifiers, as in reports of usage, and an organization's, above whom nobody is limited. A subaccount's
 * would push its organization's buckets as far below zero as it likes.
 */
function mayExceed(verifier: KeyView): boolean {
  return verifier.chain.length <= 2;
}
