import { leaseLife, type RateState, rate } from "@gatehouse/buckets";
import type { RateLeaseRow, RateReport } from "./lease.ts";
import type { RateAllowance } from "./limit.ts";

/**
 * A holder closes a lease at its deadline, counted from when it sent the request; its word of it arrives later
 * than our own deadline, which counts from when the request came. Within this it is not taken for vanished.
 */
const REPORT_GRACE_MS = 1000;
/** A lease is worth its round trip for two seconds, and for a slow rate's interval up to five. */
const LEAST_LIFE_MS = 2000;
const LEAST_LIFE_OF_SLOW_MS = 5000;
/**
 * Of a lease that nobody would miss: renewed so seldom, a thousand active keys are no load. Longer would gain little,
 * and a bucket whose state was lost refills only from then on.
 */
export const MOST_LIFE_MS = 10_000;

/**
 * A rate's bucket and its leases within one transaction.
 *
 * Reports are cumulative. A report whose answer was lost comes again, and what of it was booked is skipped; one
 * that never came shows as a gap, and what is missing counts as spent now, the latest it can have been. A lease
 * without a report is spent in full at its deadline; what is said of it afterwards is not heard.
 */
export class RateShelf {
  readonly allowance: RateAllowance;
  readonly limitId: string;
  readonly #leases: Map<string, RateLeaseRow>;
  readonly #nowMs: number;
  #state: RateState;
  readonly ended: string[] = [];
  readonly spends = new Map<string, number>();
  touched = false;

  constructor(
    limitId: string,
    allowance: RateAllowance,
    state: RateState,
    leases: readonly RateLeaseRow[],
    nowMs: number,
  ) {
    this.limitId = limitId;
    this.allowance = allowance;
    this.#nowMs = nowMs;
    this.#leases = new Map(leases.map((lease) => [lease.id, lease]));
    this.#state = rate.refill(state, allowance, nowMs);
    for (const lease of leases) {
      if (lease.deadlineMs + REPORT_GRACE_MS <= nowMs) this.#expire(lease);
    }
  }

  get state(): RateState {
    return this.#state;
  }

  get available(): number {
    return this.#state.available;
  }

  get leased(): number {
    return this.#state.leased;
  }

  get leaseIds(): readonly string[] {
    return [...this.#leases.keys()];
  }

  /** Unreported units by holder. */
  get held(): Map<string, number> {
    const held = new Map<string, number>();
    for (const { holder, units, spent } of this.#leases.values()) {
      held.set(holder, (held.get(holder) ?? 0) + Math.max(0, units - spent));
    }
    return held;
  }

  /** Books what a holder says of its lease; says whether units came back. */
  report(holder: string, report: RateReport): boolean {
    const lease = this.#leases.get(report.leaseId);
    if (lease === undefined || lease.holder !== holder) return false;
    let heard = lease.spent;
    if (report.reported > heard) {
      this.#book(lease.units - heard, report.reported - heard, this.#nowMs);
      heard = report.reported;
    }
    let told = report.reported;
    for (const { units, ageMs } of report.spends) {
      told += units;
      if (told <= heard) continue;
      this.#book(lease.units - heard, told - heard, this.#nowMs - Math.max(0, Math.round(ageMs)));
      heard = told;
    }
    if (!report.closed) {
      this.#leases.set(lease.id, { ...lease, spent: heard });
      this.spends.set(lease.id, heard);
      return false;
    }
    const returned = Math.max(0, lease.units - heard);
    this.#settle({ spent: [], returned });
    this.#end(lease.id);
    return returned > 0;
  }

  /** Lends `units`, even more than there are: a limit that only warns gives what is asked. */
  take(units: number): undefined {
    this.touched = true;
    const state = this.#state;
    this.#state = { ...state, available: state.available - units, leased: state.leased + units };
  }

  /** How long a lease to this holder lives, with what is available beside it. */
  lifeMs(holder: string): number {
    const { burst, intervalMs } = this.allowance;
    const others = this.held.entries().filter(([other, units]) => other !== holder && units > 0);
    return leaseLife({
      available: this.available,
      burst,
      others: [...others].length,
      leastMs: Math.min(LEAST_LIFE_OF_SLOW_MS, Math.max(LEAST_LIFE_MS, intervalMs)),
      mostMs: MOST_LIFE_MS,
    });
  }

  retryAfterMs(need: number): number | undefined {
    const ms = rate.retryAfterMs(this.#state, this.allowance, need, this.#nowMs);
    return Number.isFinite(ms) ? ms : undefined;
  }

  #expire(lease: RateLeaseRow): void {
    this.#book(lease.units - lease.spent, lease.units - lease.spent, lease.deadlineMs);
    this.#end(lease.id);
  }

  // What a lease does not cover is charged all the same: it was spent.
  #book(left: number, units: number, spentAtMs: number): void {
    if (units <= 0) return;
    const covered = Math.min(units, Math.max(0, left));
    this.#settle({ spent: [{ units: covered, spentAtMs }], returned: 0 });
    if (units > covered) {
      const over = { units: units - covered, spentAtMs };
      this.#state = rate.charge(this.#state, this.allowance, over, this.#nowMs);
    }
  }

  #settle(what: Parameters<typeof rate.settle>[2]): void {
    this.touched = true;
    this.#state = rate.settle(this.#state, this.allowance, what, this.#nowMs);
  }

  #end(leaseId: string): void {
    this.touched = true;
    this.#leases.delete(leaseId);
    this.spends.delete(leaseId);
    this.ended.push(leaseId);
  }
}
