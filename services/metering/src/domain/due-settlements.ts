import { SharedRead } from "@gatehouse/changefeed";
import { Failure } from "@gatehouse/service/failure";
import { bookSettlements } from "./book-settlements.ts";
import type { Charged } from "./reservation.ts";
import type { ReservationStore } from "./reservation-store.ts";

/**
 * Books what is settled and of which metering has heard, many at a time. Calls of one organization end in the same few
 * buckets: booked one by one, each commit would wait for the rows of those before it. So settlements are only noted one
 * by one, and who waits for theirs to be booked shares a transaction with all others that wait.
 */
export class DueSettlements {
  readonly #store: ReservationStore;
  readonly #run: SharedRead<Run>;

  constructor(store: ReservationStore) {
    this.#store = store;
    this.#run = new SharedRead(() => this.#bookSome());
  }

  /** Books all that is due. Rejects where something could not be booked, once everything else of its run was. */
  async book(): Promise<void> {
    for (let booked = MAX_DUE; booked === MAX_DUE; ) {
      const run = await this.#run.read();
      if (run.failures.length > 0) throw run.failures[0];
      booked = run.booked.size;
    }
  }

  /** Books a settlement that was noted before, and answers what it costs; undefined while its account is not known. */
  async bookOne(decisionId: string, expiresAtMs: number): Promise<Charged | undefined> {
    const { booked } = await this.#run.read();
    // Else another replica has it, there were too many, or it failed.
    return booked.get(decisionId) ?? this.#bookAlone(decisionId, expiresAtMs);
  }

  async #bookSome(): Promise<Run> {
    try {
      const booked = await this.#store.transact(async (tx) => {
        const { due, nowMs } = await tx.lockDue(MAX_DUE);
        return bookSettlements(tx, due, nowMs);
      });
      return { booked, failures: [] };
    } catch (error) {
      // The database is out of reach or busy: it would be for each alone, too.
      if (error instanceof Failure) throw error;
      return this.#bookEach();
    }
  }

  // One that cannot be booked must not hold up the others.
  async #bookEach(): Promise<Run> {
    const { due } = await this.#store.transact((tx) => tx.lockDue(MAX_DUE));
    const booked = new Map<string, Charged>();
    const failures: unknown[] = [];
    for (const { decisionId, expiresAtMs } of due) {
      try {
        const charged = await this.#bookAlone(decisionId, expiresAtMs);
        if (charged !== undefined) booked.set(decisionId, charged);
      } catch (error) {
        failures.push(error);
      }
    }
    return { booked, failures };
  }

  #bookAlone(decisionId: string, expiresAtMs: number): Promise<Charged | undefined> {
    return this.#store.transact(async (tx) => {
      const { reservation, nowMs } = await tx.lock(decisionId, expiresAtMs);
      const { held, settlement, isBooked } = reservation;
      if (isBooked) return reservation.charged ?? UNTOLD;
      if (held === undefined || settlement === undefined) return undefined;
      return (await bookSettlements(tx, [{ ...reservation, held, settlement }], nowMs)).get(decisionId);
    });
  }
}

/** What a run booked, and why others of it were not. */
interface Run {
  readonly booked: ReadonlyMap<string, Charged>;
  readonly failures: readonly unknown[];
}

/** Of what a replica booked that is older than this and notes no cost. */
export const UNTOLD: Charged = new Map();

/** Reservations of one transaction, so that nobody waits long for the buckets it locks. */
const MAX_DUE = 500;
