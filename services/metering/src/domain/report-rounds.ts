import { type BookedEvents, bookEvents, type ReportedEvents } from "./book-events.ts";
import type { PartCarries } from "./part-carries.ts";
import type { ReportStore } from "./report-store.ts";
import { RoundLoop } from "./round-loop.ts";

/**
 * Calls of a round: eight thousand events at most. Most of what they take is each event's own row; what they hold
 * meanwhile that others wait for, quotas and minutes of usage, they hold for no longer than one call would.
 */
const MAX_PER_ROUND = 8;
/** Each with up to a thousand events: some hundred megabytes. */
const MAX_ARRIVED = 100;
/** As a round takes: when to come again. */
const RETRY_MS = 200;

/**
 * All reports of this replica, in rounds. Those that come at once are mostly of the same keys in the same minutes, and draw
 * on the same quotas: one by one each would wait for the one before it to commit, and write the same rows once more.
 */
export class ReportRounds {
  readonly #loop: RoundLoop<ReportedEvents, BookedEvents>;

  constructor(store: ReportStore, carries: PartCarries) {
    this.#loop = new RoundLoop({
      serve: async (calls) => {
        const booked = await carries.during((begin) =>
          store.transact((tx) => bookEvents(tx, calls, begin())),
        );
        return booked.map((answer) => ({ answer }));
      },
      waitMs: RETRY_MS,
      maxPerRound: MAX_PER_ROUND,
      maxArrived: MAX_ARRIVED,
    });
  }

  /** Throws Failure OVERLOADED, UNAVAILABLE, and what its transaction throws. */
  book(call: ReportedEvents): Promise<BookedEvents> {
    return this.#loop.submit(call);
  }

  close(): void {
    this.#loop.close();
  }
}
