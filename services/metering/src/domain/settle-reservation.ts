import type { KeyView } from "@gatehouse/access";
import type { ReservedDecisionIds } from "@gatehouse/keys";
import { notFound } from "@gatehouse/service/failure";
import { bookSettlements } from "./book-settlements.ts";
import { finalCost, type Settlement, settles, type Units } from "./reservation.ts";
import type { ReservationStore, ReservationTx } from "./reservation-store.ts";

export interface ReservationDependencies {
  readonly store: ReservationStore;
  readonly ids: ReservedDecisionIds;
}

/** What a settled reservation costs. */
export interface Settled {
  readonly cost: Units;
  /** Its batch has not come yet: the cost is what the settlement says, and is booked when it does. */
  readonly isPending: boolean;
}

/**
 * Books what a reservation cost, or gives its estimate back. Both are repeatable: the same again is answered as the
 * first time, for an hour beyond the reservation's time.
 *
 * Of a reservation that is not known yet only the settlement is kept, under an id that proves itself; the batch finds
 * it. Whether it came in time is told by the database's clock, so that it does not matter which replica is asked.
 *
 * Throws Failure NOT_FOUND, alike for every id that was not given to the caller's key, and FAILED_PRECONDITION
 * (FINAL_STATE).
 */
export async function settleReservation(
  { store, ids }: ReservationDependencies,
  caller: KeyView,
  decisionId: string,
  settlement: Settlement,
): Promise<Settled> {
  const expiresAtMs = ids.expiryOf(decisionId, caller.key.id);
  if (expiresAtMs === undefined) throw notFound("reservation");
  return store.transact(async (tx) => {
    const { reservation, nowMs } = await tx.lock(decisionId, expiresAtMs);
    if (settles(reservation, settlement, nowMs)) await tx.putSettlement(decisionId, settlement);
    const { held } = reservation;
    const isBooked =
      reservation.isBooked ||
      (held !== undefined &&
        (await bookSettlements(tx, [{ ...reservation, held, settlement }], nowMs)).has(decisionId));
    return { cost: finalCost(held?.estimate ?? new Map(), settlement), isPending: !isBooked };
  });
}

/** Books what was settled before its batch came, a bounded number at a time; answers how many that were. */
export async function bookDue(store: ReservationStore): Promise<number> {
  let count = 0;
  for (let booked = MAX_DUE; booked === MAX_DUE; count += booked) {
    booked = await store.transact(bookSome);
  }
  return count;
}

/** Reservations of one transaction, so that nobody waits long for the buckets it locks. */
const MAX_DUE = 200;

async function bookSome(tx: ReservationTx): Promise<number> {
  const { due, nowMs } = await tx.lockDue(MAX_DUE);
  return (await bookSettlements(tx, due, nowMs)).size;
}
