import { Failure, failedPrecondition, overloaded, unavailable } from "@gatehouse/service/failure";
import type { AcquireAnswer, AcquireRequest, AskResult, Grant, LeaseStore } from "./lease.ts";
import type { Share } from "./ledger.ts";
import { type Applicant, lend, type Round } from "./lend.ts";
import { limitIdOf } from "./limit.ts";

/**
 * All concurrent acquires as one transaction after another: while one runs, the next ones gather.
 *
 * An ask that lacks units which others hold stays, ahead of every later one, and keeps its claim on what it
 * needs in each round; it leaves with them, or with "not now" once it has waited long enough. Two holders that
 * each lack what the other has thus cannot swap their last units forever. The order holds within one replica of
 * metering; between replicas the rows' locks decide, and a round grants a whole set or nothing.
 *
 * Rounds begin when somebody asks, when units come back, and when the first who waits is out of time: so the
 * last word to it is of that moment.
 */
export class AcquireLoop {
  readonly #store: LeaseStore;
  readonly #waitMs: number;
  #arrived: Acquire[] = [];
  #waiting: Acquire[] = [];
  #running = false;
  #again = false;
  #closed = false;
  #timer: NodeJS.Timeout | undefined;
  /** Transactions since the start. */
  rounds = 0;

  /** `waitMs`: how long an ask waits for units that others hold. */
  constructor(store: LeaseStore, waitMs = DEFAULT_WAIT_MS) {
    this.#store = store;
    this.#waitMs = waitMs;
  }

  /** Throws Failure OVERLOADED, FAILED_PRECONDITION for a holder that has ended, and what the transaction throws. */
  acquire(request: AcquireRequest): Promise<AcquireAnswer> {
    if (this.#closed) return Promise.reject(unavailable("metering is closing"));
    if (this.#arrived.length >= MAX_ARRIVED) {
      return Promise.reject(overloaded("too many acquires wait for the database", this.#waitMs));
    }
    return new Promise((resolve, reject) => {
      this.#arrived.push(new Acquire(request, performance.now(), this.#waitMs, resolve, reject));
      this.#start();
    });
  }

  /** Requests that are not answered yet, but for those of a transaction that is under way. */
  get waiting(): number {
    return this.#arrived.length + this.#waiting.length;
  }

  /** Units of these limits came back, somewhere. */
  wake(limitIds: readonly string[]): void {
    if (limitIds.map(limitIdOf).some((id) => this.#waiting.some(({ lacks }) => lacks.has(id)))) this.#start();
    else if (this.#running) this.#again = true;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const acquire of [...this.#waiting, ...this.#arrived])
      acquire.fail(unavailable("metering is closing"));
    this.#waiting = [];
    this.#arrived = [];
  }

  #start(): void {
    this.#again = true;
    if (this.#running) return;
    this.#running = true;
    // Not at once: asks of the same turn of the event loop travel together.
    setImmediate(() => this.#run());
  }

  async #run(): Promise<void> {
    clearTimeout(this.#timer);
    while (this.#again && !this.#closed) {
      this.#again = this.#arrived.length > MAX_ARRIVED_PER_ROUND;
      this.#dropStale();
      await this.#round([...this.#waiting, ...this.#arrived.splice(0, MAX_ARRIVED_PER_ROUND)]);
    }
    this.#running = false;
    this.#armTimer();
  }

  // Its callers were told that nothing is known, and ask again: served all the same, it would make those late, too.
  #dropStale(): void {
    const sinceMs = performance.now() - HOLDER_WAITS_MS;
    const firstFresh = this.#arrived.findIndex(({ arrivedMs }) => arrivedMs >= sinceMs);
    const stale = this.#arrived.splice(0, firstFresh < 0 ? this.#arrived.length : firstFresh);
    for (const acquire of stale)
      acquire.fail(overloaded("it waited too long for the database", this.#waitMs));
  }

  async #round(acquires: readonly Acquire[]): Promise<void> {
    if (acquires.length === 0) return;
    try {
      await this.#lend(acquires);
    } catch (error) {
      if (acquires.length === 1 || isPassing(error)) for (const acquire of acquires) acquire.fail(error);
      // One request that cannot be served must not take the others with it.
      else for (const acquire of acquires) await this.#lend([acquire]).catch((alone) => acquire.fail(alone));
    }
    this.#waiting = this.#closed ? [] : acquires.filter(({ done }) => !done);
  }

  async #lend(acquires: readonly Acquire[]): Promise<void> {
    this.rounds++;
    const applicants = acquires.map((acquire) => acquire.applicant());
    const round = await this.#store.transact((tx) => lend(tx, applicants));
    const nowMs = performance.now();
    for (const [i, acquire] of acquires.entries()) acquire.take(round, round.shares[i]!, nowMs);
  }

  #armTimer(): void {
    const first = this.#waiting[0];
    if (first === undefined || this.#closed) return;
    this.#timer = setTimeout(() => this.#start(), Math.max(0, first.deadlineMs - performance.now()));
  }
}

// The database is out of reach or busy: it would be for each alone, too.
function isPassing(error: unknown): boolean {
  return error instanceof Failure && (error.code === "UNAVAILABLE" || error.code === "ABORTED");
}

/** P2 promises an answer within what a caller of Verify can wait: a recall takes a few milliseconds. */
const DEFAULT_WAIT_MS = 50;
/** Requests of up to 1000 asks each; more wait for the next transaction, which stays in the tens of milliseconds. */
const MAX_ARRIVED_PER_ROUND = 100;
const MAX_ARRIVED = 10_000;
/** As long as a holder lets its callers wait for an answer. */
const HOLDER_WAITS_MS = 1000;

/** One request on its way: which of its asks have their answer. */
class Acquire {
  readonly arrivedMs: number;
  readonly deadlineMs: number;
  readonly #request: AcquireRequest;
  readonly #nodeIds: readonly string[];
  readonly #results: (AskResult | undefined)[];
  readonly #leases: Grant[] = [];
  readonly #resolve: (answer: AcquireAnswer) => void;
  readonly #reject: (error: unknown) => void;
  #reported = false;
  #recalled: ReadonlySet<string> = new Set();
  /** Limits that its waiting asks lack. */
  lacks = new Set<string>();
  done = false;

  constructor(
    request: AcquireRequest,
    arrivedMs: number,
    waitMs: number,
    resolve: (answer: AcquireAnswer) => void,
    reject: (error: unknown) => void,
  ) {
    this.#request = request;
    this.#nodeIds = [...new Set(request.asks.flatMap(({ nodeIds }) => nodeIds))];
    this.#results = request.asks.map(() => undefined);
    this.arrivedMs = arrivedMs;
    this.deadlineMs = arrivedMs + waitMs;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  applicant(): Applicant {
    const { holder, number, asks, reports } = this.#request;
    return {
      holder,
      number,
      nodeIds: this.#nodeIds,
      asks: asks.filter((_, i) => this.#results[i] === undefined),
      reports: this.#reported ? [] : reports,
      recalled: this.#recalled,
    };
  }

  take(round: Round, share: Share, nowMs: number): void {
    if (round.endedHolders.has(this.#request.holder)) {
      this.fail(
        failedPrecondition("FINAL_STATE", "the holder's epoch has ended; a new one begins with a new epoch"),
      );
      return;
    }
    this.#reported = true;
    this.#recalled = share.recalled;
    this.#leases.push(...share.grants);
    this.lacks = new Set();
    const results = share.results.values();
    for (const [i, known] of this.#results.entries()) {
      if (known !== undefined) continue;
      const result = results.next().value!;
      const waits = result.outcome === "NOT_NOW" && nowMs < this.deadlineMs;
      if (waits) this.lacks.add(limitIdOf(result.limitId!));
      else this.#results[i] = result;
    }
    if (this.lacks.size > 0) return;
    this.done = true;
    const limits = new Map(this.#nodeIds.map((id) => [id, round.limits.get(id)!]));
    const { freshness } = round;
    const moneyOf = (id: string) => {
      const money = round.money.get(id);
      return money === undefined ? [] : [[id, money] as const];
    };
    const money = new Map(this.#nodeIds.flatMap(moneyOf));
    this.#resolve({ limits, money, freshness, results: this.#results as AskResult[], leases: this.#leases });
  }

  fail(error: unknown): void {
    if (this.done) return;
    this.done = true;
    this.#reject(error);
  }
}
