import { failedPrecondition } from "@gatehouse/service/failure";
import type { AcquireAnswer, AcquireRequest, AskResult, Grant, LeaseStore } from "./lease.ts";
import type { Share } from "./ledger.ts";
import { type Applicant, lend, type Round } from "./lend.ts";
import { limitIdOf } from "./limit.ts";
import { RoundLoop, type Turn } from "./round-loop.ts";

/** P2 promises an answer within what a caller of Verify can wait: a recall takes a few milliseconds. */
const DEFAULT_WAIT_MS = 50;
/** Requests of up to 1000 asks each; more wait for the next transaction, which stays in the tens of milliseconds. */
const MAX_PER_ROUND = 100;
const MAX_ARRIVED = 10_000;
/** As long as a holder lets its callers wait for an answer. */
const HOLDER_WAITS_MS = 1000;

/**
 * All acquires of this replica, in rounds.
 *
 * An ask that lacks units which others hold stays, ahead of every later one, and keeps its claim on what it
 * needs in each round; it leaves with them, or with "not now" once it has waited long enough. Two holders that
 * each lack what the other has thus cannot swap their last units forever. The order holds within one replica of
 * metering; between replicas the rows' locks decide, and a round grants a whole set or nothing.
 */
export class AcquireLoop {
  readonly #loop: RoundLoop<Acquire, AcquireAnswer>;
  readonly #store: LeaseStore;
  /** Units of holders that vanished, which rounds found. */
  forfeitedUnits = 0;

  /** `waitMs`: how long an ask waits for units that others hold. */
  constructor(store: LeaseStore, waitMs = DEFAULT_WAIT_MS) {
    this.#store = store;
    this.#loop = new RoundLoop({
      serve: (acquires) => this.#serve(acquires),
      waitMs,
      maxPerRound: MAX_PER_ROUND,
      maxArrived: MAX_ARRIVED,
      staleMs: HOLDER_WAITS_MS,
    });
  }

  /** Throws Failure OVERLOADED, FAILED_PRECONDITION for a holder that has ended, and what the transaction throws. */
  acquire(request: AcquireRequest): Promise<AcquireAnswer> {
    return this.#loop.submit(new Acquire(request));
  }

  /** Units of these limits came back, somewhere. */
  wake(limitIds: readonly string[]): void {
    this.#loop.wake(limitIds.map(limitIdOf));
  }

  get waiting(): number {
    return this.#loop.waiting;
  }

  get rounds(): number {
    return this.#loop.rounds;
  }

  close(): void {
    this.#loop.close();
  }

  async #serve(acquires: readonly Acquire[]): Promise<readonly Turn<AcquireAnswer>[]> {
    const round = await lend(
      this.#store,
      acquires.map((acquire) => acquire.applicant()),
    );
    this.forfeitedUnits += round.forfeitedUnits;
    return acquires.map((acquire, i) => acquire.take(round, round.shares[i]!));
  }
}

/** One request on its way: which of its asks have their answer. */
class Acquire {
  readonly #request: AcquireRequest;
  readonly #nodeIds: readonly string[];
  readonly #leases: Grant[] = [];
  #results: readonly (AskResult | undefined)[];
  #reported = false;
  #recalled: ReadonlySet<string> = new Set();

  constructor(request: AcquireRequest) {
    this.#request = request;
    this.#nodeIds = [...new Set(request.asks.flatMap(({ nodeIds }) => nodeIds))];
    this.#results = request.asks.map(() => undefined);
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

  take(round: Round, share: Share): Turn<AcquireAnswer> {
    if (round.endedHolders.has(this.#request.holder)) return { failure: hasEnded() };
    this.#reported = true;
    this.#recalled = share.recalled;
    this.#leases.push(...share.grants);
    const next = share.results.values();
    const results = this.#results.map((known) => known ?? next.next().value!);
    this.#results = results.map((result) => (result.outcome === "NOT_NOW" ? undefined : result));
    const lacks = results
      .filter(({ outcome }) => outcome === "NOT_NOW")
      .map(({ limitId }) => limitIdOf(limitId!));
    const outcome = { answer: this.#answer(round, results) };
    return lacks.length === 0 ? outcome : { lacks, otherwise: outcome };
  }

  #answer({ limits, money, freshness }: Round, results: readonly AskResult[]): AcquireAnswer {
    const of = <T>(all: ReadonlyMap<string, T>) =>
      new Map(this.#nodeIds.flatMap((id) => (all.has(id) ? [[id, all.get(id)!] as const] : [])));
    return { limits: of(limits), money: of(money), freshness, results, leases: this.#leases };
  }
}

function hasEnded() {
  const message = "the holder's epoch has ended; a new one begins with a new epoch";
  return failedPrecondition("FINAL_STATE", message);
}
