import type { Moment } from "@gatehouse/changefeed";
import type { RateReport } from "./lease-source.ts";
import type { LocalLease } from "./local-bucket.ts";

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
        left: 0,
        spends: [],
        reported: 0,
      },
      true,
    );
  }

  /** Takes what is to be reported; it comes back with `failed`. */
  take(now: Moment): Taken {
    const taken = [...this.#noted].map(([lease, { closed }]) => ({
      lease,
      closed,
      spends: lease.spends.map(({ units, atMs }) => ({ units, atMs })),
    }));
    this.#noted.clear();
    return {
      wire: taken.map(({ lease, closed, spends }) => ({
        leaseId: lease.id,
        reported: lease.reported,
        spends: spends.map(({ units, atMs }) => ({ units, ageMs: now.monotonicMs - atMs })),
        closed,
      })),
      delivered: () => {
        for (const { lease, spends } of taken) forget(lease, spends);
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

// The newest may have grown while the report travelled: what grew stays.
function forget(lease: LocalLease, spends: readonly { units: number }[]): void {
  for (const { units } of spends) {
    const first = lease.spends[0]!;
    lease.reported += units;
    if (first.units > units) first.units -= units;
    else lease.spends.shift();
  }
}
