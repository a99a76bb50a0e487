import { lowWater, wantFor } from "@gatehouse/buckets";
import type { Clock, Moment } from "@gatehouse/changefeed";
import type { ChargePath, Due } from "./charge-path.ts";
import type { Journal } from "./journal.ts";
import type { AcquireReply, Ask, AskResult, GrantedLease, LeaseSource, Need } from "./lease-source.ts";
import type { LimitBook, NodeLimits } from "./limit-book.ts";
import { isOver, type LocalBucket, type LocalLease } from "./local-bucket.ts";
import { RateReports } from "./rate-reports.ts";

/**
 * Mechanism two, the holder's end. A call charges every bucket that applies or none: `charge` looks at all of
 * them first and then spends, without a pause between, so no other call can come in between. What is missing
 * is acquired, and then the caller runs its whole check again: nothing is held across a wait, and whatever was
 * true before it may have changed.
 *
 * Spends stand only once the journal has written them; if it could not, they are undone and the call is not
 * answered VALID.
 */

export type Charged =
  | {
      readonly kind: "charged";
      readonly binding: Binding | undefined;
      readonly warnings: readonly string[];
      readonly spends: readonly Spend[];
    }
  | {
      readonly kind: "refused";
      readonly bucket: LocalBucket;
      readonly remaining: number;
      readonly retryAfterMs: number | undefined;
    }
  | { readonly kind: "lacking"; readonly ask: Ask };

/** Units that a call took from a lease. */
export interface Spend {
  readonly bucket: LocalBucket;
  readonly lease: LocalLease;
  readonly units: number;
}

/** The bucket with the least left, as this replica knows. */
export interface Binding {
  readonly bucket: LocalBucket;
  readonly remaining: number;
}

export interface LeasePoolOptions {
  readonly book: LimitBook;
  readonly journal: Journal;
  readonly source: LeaseSource;
  readonly clock: Clock;
  /** Sends what the journal has, now. */
  readonly ship: () => void;
  /** The state of identity that asks rely on. */
  readonly identityFreshness: () => string;
}

/** Seconds of demand that a lease is to last: long enough to refill behind it, short enough to share. */
const TARGET_SECONDS = 5;
const WANT_FLOOR = 20;
const WANT_CAP = 1_000_000;
const MAX_ASKS = 1000;
/** A refusal is remembered this long at most; a bell or a grant ends it sooner. */
const REFUSAL_MS = 2000;
/** While metering does not answer, calls that need it are not made to wait for that again and again. */
const UNREACHABLE_MS = 200;

interface Waiter {
  readonly ask: Ask;
  readonly settle: (result: AskResult) => void;
  readonly fail: (error: unknown) => void;
}

export class LeasePool {
  readonly #options: LeasePoolOptions;
  readonly #rates = new RateReports();
  #waiting: Waiter[] = [];
  #flushing = false;
  #unreachableUntilMs = 0;
  #lastError: unknown;
  acquires = 0;

  constructor(options: LeasePoolOptions) {
    this.#options = options;
  }

  /** Charges `needs` to every bucket on the path that counts them, or says what is in the way. */
  charge(path: ChargePath, needs: readonly Need[], now: Moment): Charged {
    const due = this.#due(path, needs);
    const { nodeIds, resource } = path;
    if (due === undefined) return { kind: "lacking", ask: { nodeIds, resource, needs, wants: [] } };
    let isLacking = false;
    for (const { bucket, units } of due) {
      if (units <= bucket.left(now)) continue;
      const { refusal } = bucket;
      if (refusal !== undefined && units >= refusal.units && now.monotonicMs < refusal.untilMs) {
        return refused(bucket, refusal.remaining, refusal.retryAtMs, now);
      }
      isLacking = true;
    }
    if (isLacking)
      return { kind: "lacking", ask: { nodeIds, resource, needs, wants: wantsOfLacking(due, now) } };
    return this.#spend(due, path, now);
  }

  /** Takes back what a call spent and the journal could not write. */
  undo(spends: readonly Spend[]): void {
    for (const { bucket, lease, units } of spends) bucket.unspend(lease, units);
  }

  bucket(limitId: string): LocalBucket | undefined {
    return this.#options.book.bucket(limitId);
  }

  /** Asks metering for units; asks of one turn travel together, in their order. */
  acquire(ask: Ask): Promise<AskResult> {
    if (this.#options.clock.now().monotonicMs < this.#unreachableUntilMs)
      return Promise.reject(this.#lastError);
    return new Promise((settle, fail) => {
      this.#waiting.push({ ask, settle, fail });
      this.#flushSoon();
    });
  }

  /** Closes every lease of these limits and says so at once. */
  recall(limitIds: readonly string[]): void {
    const now = this.#options.clock.now();
    for (const limitId of limitIds) {
      const bucket = this.#options.book.bucket(limitId);
      if (bucket !== undefined) for (const lease of [...bucket.leases]) this.#close(bucket, lease, now);
    }
    this.#options.ship();
    if (this.#rates.pending) this.#flushSoon();
  }

  /** Closes what is over, used up or idle for `idleMs`, and reports what rate leases spent. Called on a timer. */
  sweep(idleMs: number): void {
    const now = this.#options.clock.now();
    for (const bucket of this.#options.book.buckets()) {
      const idle = now.monotonicMs - Math.max(bucket.lastSpentAtMs, bucket.grantedAtMs) >= idleMs;
      for (const lease of [...bucket.leases]) {
        if (idle || lease.left === 0 || isOver(lease, now)) this.#close(bucket, lease, now);
        else if (lease.spends.length > 0) this.#rates.note(lease, false);
      }
    }
    this.#options.book.sweep();
    if (this.#rates.pending) this.#flushSoon();
  }

  /** Closes everything, for an orderly end; resolves when metering has the rates, and the journal the rest. */
  async drain(): Promise<void> {
    this.sweep(0);
    this.#options.ship();
    if (this.#rates.pending) await this.#send([]).catch(() => {});
  }

  #due(path: ChargePath, needs: readonly Need[]): readonly Due[] | undefined {
    const { plan } = path;
    if (plan?.needs === needs && plan.nodes.every(isCurrent)) return plan.due;
    const nodes: NodeLimits[] = [];
    const due: Due[] = [];
    for (const nodeId of path.nodeIds) {
      const limits = this.#options.book.limitsOf(nodeId);
      if (limits === undefined) return undefined;
      nodes.push(limits);
      for (const bucket of limits.buckets) {
        if (!bucket.counts(path.resource)) continue;
        for (const { meter, units } of needs) if (meter === bucket.limit.meter) due.push({ bucket, units });
      }
    }
    path.plan = { needs, nodes, due };
    return due;
  }

  #spend(due: readonly Due[], path: ChargePath, now: Moment): Charged {
    const { journal } = this.#options;
    const warnings: string[] = [];
    const spends: Spend[] = [];
    let binding: Binding | undefined;
    let low: Due[] | undefined;
    for (const { bucket, units } of due) {
      if (units > 0) {
        bucket.spend(units, now, (lease, piece) => {
          spends.push({ bucket, lease, units: piece });
          if (lease.ref !== undefined) journal.spend(lease.ref, piece);
        });
      }
      const left = bucket.left(now);
      const remaining = left + Math.max(bucket.remaining, 0);
      if (bucket.limit.enforcement === "WARN") {
        if (bucket.remaining < 0) warnings.push(bucket.limit.id);
      } else if (binding === undefined || remaining < binding.remaining) {
        binding = { bucket, remaining };
      }
      if (units > 0 && left <= lowWater(bucket.lastGrant) && !bucket.refilling && mayHaveMore(bucket)) {
        low ??= [];
        low.push({ bucket, units });
      }
    }
    if (low !== undefined) this.#refill(low, path, now);
    return { kind: "charged", binding, warnings, spends };
  }

  #refill(low: readonly Due[], { nodeIds, resource }: ChargePath, now: Moment): void {
    for (const { bucket } of low) bucket.refilling = true;
    const done = () => {
      for (const { bucket } of low) bucket.refilling = false;
    };
    this.acquire({ nodeIds, resource, needs: [], wants: wantsOf(low, now) }).then(done, done);
  }

  // Sent after the poll phase, so that everything that arrived in one turn goes in one request.
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      do {
        const batch = this.#waiting.splice(0, MAX_ASKS);
        void this.#send(batch).catch(() => {});
      } while (this.#waiting.length > 0);
    });
  }

  async #send(batch: readonly Waiter[]): Promise<void> {
    const { source, clock, identityFreshness } = this.#options;
    const sentAt = clock.now();
    for (const { ask } of batch) this.#noteSpends(ask, sentAt);
    const reports = this.#rates.take(sentAt);
    this.acquires++;
    try {
      const asks = batch.map(({ ask }) => ask);
      const reply = await source.acquire({
        identityFreshness: identityFreshness(),
        asks,
        reports: reports.wire,
      });
      reports.delivered();
      this.#take(reply, sentAt);
      for (const [i, waiter] of batch.entries()) {
        const result = reply.results[i]!;
        this.#remember(result, waiter.ask);
        waiter.settle(result);
      }
    } catch (error) {
      reports.failed();
      this.#lastError = error;
      this.#unreachableUntilMs = clock.now().monotonicMs + UNREACHABLE_MS;
      for (const waiter of batch) waiter.fail(error);
    }
  }

  // Refilling starts when units were spent, but metering learns of it only from us: tell it before asking.
  #noteSpends({ wants }: Ask, now: Moment): void {
    for (const { limitId } of wants) {
      const bucket = this.#options.book.bucket(limitId);
      if (bucket?.limit.kind !== "rate") continue;
      for (const lease of [...bucket.leases]) {
        if (lease.left === 0) this.#close(bucket, lease, now);
        else if (lease.spends.length > 0) this.#rates.note(lease, false);
      }
    }
  }

  #take({ limits, leases, position }: AcquireReply, sentAt: Moment): void {
    const { book, clock } = this.#options;
    for (const node of limits) book.fill(node.nodeId, node.limits, position);
    const now = clock.now();
    for (const lease of leases) {
      const bucket = book.bucket(lease.limitId);
      if (bucket === undefined) this.#decline(lease);
      else {
        bucket.remaining = lease.remaining;
        bucket.windowEndMs = lease.windowEndMs;
        bucket.grant(this.#localLease(bucket, lease, sentAt), now);
      }
    }
  }

  #localLease(bucket: LocalBucket, lease: GrantedLease, sentAt: Moment): LocalLease {
    const wallMs = Math.min(sentAt.wallMs + lease.ttlMs, lease.windowEndMs ?? Number.POSITIVE_INFINITY);
    return {
      id: lease.id,
      ref: bucket.limit.kind === "quota" ? this.#held(lease.id) : undefined,
      units: lease.units,
      deadline: { monotonicMs: sentAt.monotonicMs + lease.ttlMs, wallMs },
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

  // A lease of a limit that was changed while it travelled: it goes back as it came. It may be of either kind,
  // and closing it the wrong way does nothing.
  #decline(lease: GrantedLease): void {
    this.#options.journal.close(this.#held(lease.id));
    this.#rates.noteUnspent(lease.id);
  }

  #remember(result: AskResult, { needs }: Ask): void {
    if (result.outcome !== "EXHAUSTED") return;
    const bucket = this.#options.book.bucket(result.limitId);
    if (bucket === undefined) return;
    const nowMs = this.#options.clock.now().monotonicMs;
    const { retryAfterMs = Number.POSITIVE_INFINITY, remaining } = result;
    bucket.remaining = remaining;
    bucket.refusal = {
      units: needs.find(({ meter }) => meter === bucket.limit.meter)?.units ?? 1,
      untilMs: nowMs + Math.min(REFUSAL_MS, retryAfterMs),
      remaining,
      retryAtMs: Number.isFinite(retryAfterMs) ? nowMs + retryAfterMs : undefined,
    };
  }

  #close(bucket: LocalBucket, lease: LocalLease, now: Moment): void {
    bucket.close(lease, now);
    if (lease.ref === undefined) this.#rates.note(lease, true);
    else this.#options.journal.close(lease.ref);
  }
}

function isCurrent(node: NodeLimits): boolean {
  return node.isCurrent;
}

/** A want of 0 says that what the call needs of this limit is in hand: only what lacks is asked for. */
function wantsOfLacking(due: readonly Due[], now: Moment): Ask["wants"] {
  return wantsOf(due, now).map((want, i) =>
    due[i]!.units <= due[i]!.bucket.left(now) ? { ...want, units: 0 } : want,
  );
}

function wantsOf(due: readonly Due[], now: Moment): Ask["wants"] {
  return due.map(({ bucket, units }) => {
    const seconds = Math.max((now.monotonicMs - bucket.grantedAtMs) / 1000, 0.01);
    const perSecond = bucket.grantedAtMs === 0 ? 0 : bucket.spentSinceGrant / seconds;
    return {
      limitId: bucket.limit.id,
      units: Math.max(units, wantFor(perSecond, TARGET_SECONDS, WANT_FLOOR, WANT_CAP)),
    };
  });
}

// A quota that lent its last units has no more to ask for; a rate refills.
function mayHaveMore(bucket: LocalBucket): boolean {
  return bucket.limit.kind === "rate" || bucket.remaining > 0;
}

function refused(
  bucket: LocalBucket,
  remaining: number,
  retryAtMs: number | undefined,
  now: Moment,
): Charged {
  const retryAfterMs = retryAtMs === undefined ? undefined : Math.max(retryAtMs - now.monotonicMs, 0);
  return { kind: "refused", bucket, remaining, retryAfterMs };
}
