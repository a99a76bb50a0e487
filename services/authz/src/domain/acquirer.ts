import type { Clock, Moment } from "@gatehouse/changefeed";
import { unavailable } from "@gatehouse/service/failure";
import type { Journal } from "./journal.ts";
import type { LeaseCounts } from "./lease-counts.ts";
import type { AcquireReply, Ask, AskResult, GrantedLease, LeaseSource } from "./lease-source.ts";
import type { LimitBook } from "./limit-book.ts";
import type { LocalBucket, LocalLease } from "./local-bucket.ts";
import { asksOf, type PendingAsk, unitsOf } from "./pending-ask.ts";
import type { RateReports } from "./rate-reports.ts";
import { carrierOf, during, type Trace } from "./trace.ts";

/**
 * Gets units from metering: everything that was asked for in one event-loop turn travels in one request, in its
 * order, with what rate leases have spent. What is granted lies in the buckets when the asks are answered; who
 * asked runs its whole check again and takes what it needs from there.
 */

type Exhausted = Extract<AskResult, { outcome: "EXHAUSTED" }>;

/** How metering answered, and what was in hand of the refusing bucket when it was asked. */
export type Answer = AskResult & { readonly held: number };

export interface AcquirerOptions {
  readonly book: LimitBook;
  readonly journal: Journal;
  readonly rates: RateReports;
  readonly source: LeaseSource;
  readonly clock: Clock;
  /** The state of identity that asks rely on. */
  readonly identityFreshness: () => string;
  /** Sends what the journal has, now. */
  readonly ship: () => void;
  readonly counts: LeaseCounts;
  /** Told how many milliseconds a call waited for metering's answer. */
  readonly onWaited?: ((ms: number) => void) | undefined;
}

const MAX_ASKS = 1000;
/**
 * A refill in the background waits this long for others to travel with. A thousand keys ask for nearly as many a second
 * of rates alone; in a request each, they cost more than the calls they are for. What is low lasts for a good deal longer,
 * and a call that runs out takes all along that wait.
 */
const GATHER_MS = 20;
/** A refusal is remembered this long at most; a bell or a grant ends it sooner. */
const REFUSAL_MS = 2000;
/** While metering does not answer, calls that need it are not made to wait for that again and again. */
const UNREACHABLE_MS = 200;
/** Units given back are metering's again once the next segment is sealed and taken, about a second later. */
const RETURNING_MS = 2000;
const RETURNED_RETRY_MS = 50;

interface Waiter {
  readonly ask: PendingAsk;
  readonly askedAtMs: number;
  readonly trace: Trace | undefined;
  readonly settle: (answer: Answer) => void;
  readonly fail: (error: unknown) => void;
}

export class Acquirer {
  readonly #options: AcquirerOptions;
  #waiting: Waiter[] = [];
  #flushing = false;
  #gathering: NodeJS.Timeout | undefined;
  #closed = false;
  readonly #underWay = new Set<Promise<boolean>>();
  /** Numbers of requests that were not answered, or were given up waiting for and may be answered yet. */
  readonly #unheard = new Set<number>();
  #unreachableUntilMs = 0;
  #lastError: unknown;
  #sent = 0;

  constructor(options: AcquirerOptions) {
    this.#options = options;
  }

  /** Rejects where metering does not answer. */
  acquire(ask: PendingAsk, trace?: Trace): Promise<Answer> {
    if (this.#closed) return Promise.reject(unavailable("this replica is closing"));
    const askedAtMs = this.#options.clock.now().monotonicMs;
    if (askedAtMs < this.#unreachableUntilMs) return Promise.reject(this.#lastError);
    return during(
      trace,
      "acquire units",
      (part) =>
        new Promise((settle, fail) => {
          this.#waiting.push({ ask, askedAtMs, trace: part, settle, fail });
          if (ask.needs.length > 0) this.#flushSoon();
          else this.#flushLater();
        }),
    );
  }

  /** Sends what rate leases have spent, with whatever else there is to send. */
  report(): void {
    if (this.#options.rates.pending) this.#flushSoon();
  }

  /** Sends what is noted of rate leases now. Resolves when metering has it, or did not answer. */
  async reportNow(): Promise<void> {
    if (this.#options.rates.pending) await this.#send([]);
  }

  /**
   * Asks for nothing more; resolves once what was asked for is here, or the source's deadline has passed. What comes
   * later is not taken: there would be nobody left to give it back.
   */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#waiting.length > 0) this.#flushSoon();
    await new Promise((resolve) => setImmediate(resolve));
    await Promise.all(this.#underWay);
    for (const number of this.#unheard) this.#giveBackUnheard(number);
    this.#unheard.clear();
  }

  /** Sends what rate leases have spent, until metering has it all or does not answer. */
  async reportAll(): Promise<void> {
    while (this.#options.rates.pending) {
      if (!(await this.#send([]))) return;
    }
  }

  // Sent after the poll phase, when everything that arrived in this turn has asked.
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      clearTimeout(this.#gathering);
      this.#gathering = undefined;
      // What there was to report may have gone with another request.
      if (this.#waiting.length === 0 && !this.#options.rates.pending) return;
      do {
        const sent = this.#send(this.#waiting.splice(0, MAX_ASKS));
        this.#underWay.add(sent);
        void sent.finally(() => this.#underWay.delete(sent));
      } while (this.#waiting.length > 0);
    });
  }

  #flushLater(): void {
    this.#gathering ??= setTimeout(() => this.#flushSoon(), GATHER_MS).unref();
  }

  /** False: metering did not answer, and who waited was told. */
  async #send(batch: readonly Waiter[]): Promise<boolean> {
    const { source, clock, rates, identityFreshness, counts } = this.#options;
    const sentAt = clock.now();
    for (const { ask } of batch) this.#noteSpends(ask, sentAt);
    const reports = rates.take(sentAt);
    const asks = asksOf(
      batch.map(({ ask }) => ask),
      sentAt,
    );
    try {
      counts.acquires++;
      const number = ++this.#sent;
      const request = { number, identityFreshness: identityFreshness(), asks, reports: reports.wire };
      const carrier = batch.reduce<Trace | undefined>(
        (first, { trace }) => carrierOf(first, trace),
        undefined,
      );
      this.#unheard.add(number);
      // Not taken, it would stay lent to this replica, which knew nothing of it, for as long as it lives.
      const onLate = (late: AcquireReply) => {
        if (this.#unheard.delete(number)) this.#take(late, sentAt);
      };
      const onLost = () => {
        if (!this.#unheard.delete(number)) return;
        this.#giveBackUnheard(number);
        const nowMs = clock.now().monotonicMs;
        for (const { ask } of batch) for (const { bucket } of ask.due) bucket.returnedAtMs = nowMs;
      };
      const reply = await source.acquire(request, carrier, onLate, onLost);
      this.#unheard.delete(number);
      counts.isUnreachable = false;
      reports.delivered();
      this.#take(reply, sentAt);
      for (const [i, waiter] of batch.entries()) this.#answer(waiter, asks[i]!, reply.results[i]!);
      return true;
    } catch (error) {
      counts.failedAcquires++;
      counts.isUnreachable = true;
      reports.failed();
      this.#lastError = error;
      this.#unreachableUntilMs = clock.now().monotonicMs + UNREACHABLE_MS;
      for (const waiter of batch) waiter.fail(error);
      return false;
    }
  }

  // Whatever the request was lent, by the number that its leases' ids end with; a rate's run out by themselves.
  #giveBackUnheard(number: number): void {
    const { journal } = this.#options;
    journal.close(journal.lease(`.${number}`));
  }

  // Refilling starts when units were spent, but metering learns of it only from us: tell it before asking.
  #noteSpends({ due }: PendingAsk, now: Moment): void {
    for (const { bucket } of due) {
      if (bucket.limit.kind !== "rate") continue;
      for (const lease of bucket.leases) {
        if (lease.left === 0) bucket.close(lease, now);
        if (lease.left === 0 || lease.spends.length > 0) this.#options.rates.note(lease, lease.left === 0);
      }
    }
  }

  #take({ limits, leases, position }: AcquireReply, sentAt: Moment): void {
    const { book, clock, counts } = this.#options;
    for (const node of limits) book.fill(node.nodeId, node.limits, position, node.money);
    const now = clock.now();
    // In a history that was replaced, or that is not followed yet, others may be lent the same units.
    const isFollowed = position.incarnation === book.position()?.incarnation;
    for (const lease of leases) {
      const bucket = isFollowed ? book.bucket(lease.limitId) : undefined;
      if (bucket === undefined) this.#decline(lease);
      else {
        bucket.remaining = lease.remaining;
        bucket.windowEndMs = lease.windowEndMs;
        bucket.grant(this.#localLease(bucket, lease, sentAt), now);
        counts.unitsGranted[bucket.limit.kind] += lease.units;
        book.lent(bucket);
      }
    }
  }

  #localLease(bucket: LocalBucket, lease: GrantedLease, sentAt: Moment): LocalLease {
    const wallMs = Math.min(sentAt.wallMs + lease.ttlMs, lease.windowEndMs ?? Number.POSITIVE_INFINITY);
    return {
      id: lease.id,
      ref: bucket.limit.kind === "rate" ? undefined : this.#held(lease.id),
      units: lease.units,
      deadline: { monotonicMs: sentAt.monotonicMs + lease.ttlMs, wallMs },
      lifeMs: lease.ttlMs,
      left: lease.units,
      spends: [],
      reported: 0,
    };
  }

  #held(leaseId: string): object {
    const ref = this.#options.journal.lease(leaseId);
    this.#options.journal.granted(ref);
    return ref;
  }

  // A lease of a limit, or of a history, that was changed while it travelled: it goes back as it came. It may be of either kind,
  // and closing it the wrong way does nothing.
  #decline(lease: GrantedLease): void {
    this.#options.journal.close(this.#held(lease.id));
    this.#options.rates.noteUnspent(lease.id);
  }

  // What is left of a bucket is what metering has and what is in hand.
  #answer({ ask, askedAtMs, settle }: Waiter, { wants }: Ask, result: AskResult): void {
    const { clock, counts, onWaited } = this.#options;
    counts.asks[result.outcome]++;
    // A refill in the background keeps nobody waiting.
    if (ask.needs.length > 0) onWaited?.(clock.now().monotonicMs - askedAtMs);
    if (!("limitId" in result)) {
      settle({ ...result, held: 0 });
      return;
    }
    const held = wants.find((want) => want.limitId === result.limitId)?.held ?? 0;
    const bucket = this.#options.book.bucket(result.limitId);
    if (bucket !== undefined) {
      bucket.remaining = result.remaining;
      bucket.windowEndMs = result.windowEndMs ?? bucket.windowEndMs;
      // Of what was drawn on far beyond its end, as by a commit, no more than that comes back: it is used up for sure.
      const isEnoughLent = result.remaining + result.leased >= unitsOf(ask, bucket);
      if (result.outcome === "EXHAUSTED" && isEnoughLent && this.isReturning(bucket)) {
        this.#options.ship();
        settle({ ...result, outcome: "NOT_NOW", retryAfterMs: RETURNED_RETRY_MS, held });
        return;
      }
      if (result.outcome === "EXHAUSTED") this.#remember(bucket, result, ask, held);
    }
    settle({ ...result, remaining: result.remaining + held, held });
  }

  /** Until metering hears that a lease was closed, it counts the lease's units as this replica's own. */
  isReturning(bucket: LocalBucket): boolean {
    return this.#options.clock.now().monotonicMs - bucket.returnedAtMs < RETURNING_MS;
  }

  #remember(bucket: LocalBucket, result: Exhausted, ask: PendingAsk, held: number): void {
    const { clock, counts } = this.#options;
    const nowMs = clock.now().monotonicMs;
    counts.refusalsRemembered++;
    const { retryAfterMs = Number.POSITIVE_INFINITY, remaining } = result;
    bucket.refusal = {
      units: unitsOf(ask, bucket),
      held,
      untilMs: nowMs + Math.min(REFUSAL_MS, retryAfterMs),
      remaining: remaining + held,
      retryAtMs: Number.isFinite(retryAfterMs) ? nowMs + retryAfterMs : undefined,
    };
  }
}
