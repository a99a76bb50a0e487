import { SharedRead } from "@gatehouse/changefeed";
import { bookSettlements } from "./book-settlements.ts";
import type { ReservationStore, ReservationTx } from "./reservation-store.ts";

/**
 * Books what is settled and of which metering has heard, many at a time. Calls of one organization end in the same few
 * buckets: booked one by one, each commit would wait for the rows of those before it. So settlements are only noted one
 * by one, and who waits for theirs to be booked shares a transaction with all others that wait.
 */
export class DueSettlements {
  readonly #store: ReservationStore;
  readonly #run: SharedRead<ReadonlySet<string>>;

  constructor(store: ReservationStore) {
    this.#store = store;
    this.#run = new SharedRead(() => store.transact(bookSome));
  }

  /** Books all that is due. */
  async book(): Promise<void> {
    for (let booked = MAX_DUE; booked === MAX_DUE; ) booked = (await this.#run.read()).size;
  }

  /** Books a settlement that was noted before; false while its account is not known. */
  async bookOne(decisionId: string, expiresAtMs: number): Promise<boolean> {
    if ((await this.#run.read()).has(decisionId)) return true;
    // Another replica has it, or there were too many.
    return this.#store.transact(async (tx) => {
      const { reservation, nowMs } = await tx.lock(decisionId, expiresAtMs);
      const { held, settlement, isBooked } = reservation;
      if (isBooked || held === undefined || settlement === undefined) return isBooked;
      return (await bookSettlements(tx, [{ ...reservation, held, settlement }], nowMs)).has(decisionId);
    });
  }
}

/** Reservations of one transaction, so that nobody waits long for the buckets it locks. */
const MAX_DUE = 500;

async function bookSome(tx: ReservationTx): Promise<ReadonlySet<string>> {
  const { due, nowMs } = await tx.lockDue(MAX_DUE);
  return bookSettlements(tx, due, nowMs);
}
