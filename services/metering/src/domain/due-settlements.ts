import { SharedRead } from "@gatehouse/changefeed";
import { bookSettlements } from "./book-settlements.ts";
import type { Charged } from "./reservation.ts";
import type { ReservationStore, ReservationTx } from "./reservation-store.ts";

/**
 * Books what is settled and of which metering has heard, many at a time. Calls of one organization end in the same few
 * buckets: booked one by one, each commit would wait for the rows of those before it. So settlements are only noted one
 * by one, and who waits for theirs to be booked shares a transaction with all others that wait.
 */
export class DueSettlements {
  readonly #store: ReservationStore;
  readonly #run: SharedRead<ReadonlyMap<string, Charged>>;

  constructor(store: ReservationStore) {
    this.#store = store;
    this.#run = new SharedRead(() => store.transact(bookSome));
  }

  /** Books all that is due. */
  async book(): Promise<void> {
    for (let booked = MAX_DUE; booked === MAX_DUE; ) booked = (await this.#run.read()).size;
  }

  /** Books a settlement that was noted before, and answers what it costs; undefined while its account is not known. */
  async bookOne(decisionId: string, expiresAtMs: number): Promise<Charged | undefined> {
    const charged = (await this.#run.read()).get(decisionId);
    if (charged !== undefined) return charged;
    // Another replica has it, or there were too many.
    return this.#store.transact(async (tx) => {
      const { reservation, nowMs } = await tx.lock(decisionId, expiresAtMs);
      const { held, settlement, isBooked } = reservation;
      if (isBooked) return reservation.charged ?? UNTOLD;
      if (held === undefined || settlement === undefined) return undefined;
      return (await bookSettlements(tx, [{ ...reservation, held, settlement }], nowMs)).get(decisionId);
    });
  }
}

/** Of what a replica booked that is older than this and notes no cost. */
export const UNTOLD: Charged = new Map();

/** Reservations of one transaction, so that nobody waits long for the buckets it locks. */
const MAX_DUE = 500;

async function bookSome(tx: ReservationTx): Promise<ReadonlyMap<string, Charged>> {
  const { due, nowMs } = await tx.lockDue(MAX_DUE);
  return bookSettlements(tx, due, nowMs);
}
