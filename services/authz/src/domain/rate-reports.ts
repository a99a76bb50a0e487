import type { Moment } from "@gatehouse/changefeed";
import type { RateReport } from "./lease-source.ts";
import type { LocalLease } from "./local-bucket.ts";

/**
 * Reports in one request, some 300 bytes each at most: after an outage all at once could be more than a message
 * may hold, and would then be refused for ever. The others go with the next request.
 */
const MAX_REPORTS = 1000;

/**
 * What rate leases spent, on its way to metering with the next request. Counts are cumulative: a report whose
 * answer was lost is sent again and changes nothing.
 */
export class RateReports {
  readonly #noted = new Map<LocalLease, { closed: boolean }>();

  get pending(): boolean {
    return this.#noted.size > 0;
  }

  note(lease: LocalLease, closed: boolean): void {
    this.#noted.set(lease, { closed: closed || (this.#noted.get(lease)?.closed ?? false) });
  }

  /** A lease that goes back as it came. */
  noteUnspent(leaseId: string): void {
    const over = { monotonicMs: 0, wallMs: 0 };
    this.note(
      {
        id: leaseId,
        ref: undefined,
        units: 0,
        deadline: over,
        lifeMs: 0,
        left: 0,
        spends: [],
        reported: 0,
      },
      true,
    );
  }

  /** Takes what is to be reported; it comes back with `failed`. */
  take(now: Moment): Taken {
    const taken = [...this.#noted].slice(0, MAX_REPORTS).map(([lease, { closed }]) => ({
      lease,
      closed,
      toldUnits: lease.spends.reduce((sum, { units }) => sum + units, lease.reported),
    }));
    for (const { lease } of taken) this.#noted.delete(lease);
    return {
      wire: taken.map(({ lease, closed }) => ({
        leaseId: lease.id,
        reported: lease.reported,
        spends: lease.spends.map(({ units, atMs }) => ({ units, ageMs: now.monotonicMs - atMs })),
        closed,
      })),
      delivered: () => {
        for (const { lease, toldUnits } of taken) forget(lease, toldUnits);
      },
      failed: () => {
        for (const { lease, closed } of taken) this.note(lease, closed);
      },
    };
  }
}

export interface Taken {
  readonly wire: readonly RateReport[];
  readonly delivered: () => void;
  readonly failed: () => void;
}

// Forgets the spends that metering now knows: the first `toldUnits` ever spent. It may know of them from another
// report that travelled at the same time, some may have been undone, and the newest may have grown since.
function forget(lease: LocalLease, toldUnits: number): void {
  for (
    let first = lease.spends[0];
    first !== undefined && lease.reported < toldUnits;
    first = lease.spends[0]
  ) {
    const piece = Math.min(first.units, toldUnits - lease.reported);
    lease.reported += piece;
    first.units -= piece;
    if (first.units === 0) lease.spends.shift();
  }
}
