import { lowWater } from "@gatehouse/buckets";
import type { Moment } from "@gatehouse/changefeed";
import { Acquirer, type AcquirerOptions, type Answer } from "./acquirer.ts";
import type { ChargePath, ChargePlan, Due } from "./charge-path.ts";
import { LeaseCounts } from "./lease-counts.ts";
import type { Need } from "./lease-source.ts";
import { isOver, isToTell, type LocalBucket, type LocalLease, type Spend } from "./local-bucket.ts";
import type { PendingAsk } from "./pending-ask.ts";
import { planCharge } from "./plan-charge.ts";
import type { Prices } from "./price-book.ts";
import { RateReports } from "./rate-reports.ts";
import { type Payment, pay, reckon, refund } from "./toll.ts";
import type { Trace } from "./trace.ts";

/**
 * Mechanism two, the holder's end. A call charges every bucket that applies or none: `charge` looks at all of
 * them first and then spends, without a pause between, so no other call can come in between. What is missing
 * is acquired, and then the caller runs its whole check again: nothing is held across a wait, and whatever was
 * true before it may have changed.
 *
 * Spends stand only once the journal has written them; if it could not, they are undone and the call is not
 * answered VALID.
 */

export type { Spend } from "./local-bucket.ts";

export type Charged =
  | {
      readonly kind: "charged";
      readonly binding: Binding | undefined;
      readonly warnings: readonly string[];
      readonly spends: readonly Spend[];
      /** Undefined where it was free. */
      readonly payments: readonly Payment[] | undefined;
    }
  | Obstacle;

/** Why a call cannot be charged now. */
export type Obstacle =
  | {
      readonly kind: "refused";
      readonly bucket: LocalBucket;
      readonly remaining: number;
      readonly retryAfterMs: number | undefined;
    }
  | { readonly kind: "lacking"; readonly ask: PendingAsk }
  /** What it costs is not known. */
  | { readonly kind: "unpriced" }
  /** The payer has no wallet in a currency that it costs, or it costs more than anybody has. */
  | { readonly kind: "unpaid" };

/** The bucket with the least left, as this replica knows. */
export interface Binding {
  readonly bucket: LocalBucket;
  readonly remaining: number;
}

/** Units of a limit in this replica's hands. */
export interface InHand {
  /** Units that can be spent. */
  readonly held: number;
  /** Units that were lent and not spent, those of leases that are over included. */
  readonly unspent: number;
  /** Whether some went back so lately that metering may not have heard. */
  readonly isReturning: boolean;
}

const NOTHING_IN_HAND: InHand = { held: 0, unspent: 0, isReturning: false };

export interface LeasePoolOptions extends Omit<AcquirerOptions, "rates" | "counts"> {
  readonly prices: Prices;
}

export class LeasePool {
  readonly #options: LeasePoolOptions;
  readonly #rates = new RateReports();
  readonly #acquirer: Acquirer;
  readonly counts = new LeaseCounts();

  constructor(options: LeasePoolOptions) {
    this.#options = options;
    this.#acquirer = new Acquirer({ ...options, rates: this.#rates, counts: this.counts });
  }

  /** Charges `needs` to every bucket on the path that counts them, or says what is in the way. */
  charge(path: ChargePath, needs: readonly Need[], now: Moment): Charged {
    const found = this.#find(path, needs, now);
    return "kind" in found ? found : this.#spend(found, path, now);
  }

  /** What `charge` would say is in the way; undefined where it would charge. */
  obstacle(path: ChargePath, needs: readonly Need[], now: Moment): Obstacle | undefined {
    const found = this.#find(path, needs, now);
    return "kind" in found ? found : undefined;
  }

  /** Asks metering for units. Rejects where it does not answer. */
  acquire(ask: PendingAsk, trace?: Trace): Promise<Answer> {
    return this.#acquirer.acquire(ask, trace);
  }

  /** Rejects where metering does not answer and no price is known. */
  readPrices(): Promise<void> {
    const { prices, clock } = this.#options;
    return prices.fill(() => clock.now().wallMs);
  }

  /** Takes back what a call spent and the journal could not write. */
  undo(spends: readonly Spend[], payments: readonly Payment[] = []): void {
    for (const { bucket, lease, units } of spends) bucket.unspend(lease, units);
    refund(payments);
  }

  bucket(limitId: string): LocalBucket | undefined {
    return this.#options.book.bucket(limitId);
  }

  /** What this replica has of a limit. */
  inHand(limitId: string, now: Moment): InHand {
    const bucket = this.bucket(limitId);
    if (bucket === undefined) return NOTHING_IN_HAND;
    const unspent = bucket.leases.reduce((sum, { left }) => sum + left, 0);
    return { held: bucket.left(now), unspent, isReturning: this.#acquirer.isReturning(bucket) };
  }

  /** Tells metering what was spent of the rates on these nodes: what it has not heard of does not refill. */
  tellRates(nodeIds: readonly string[]): Promise<void> {
    for (const nodeId of nodeIds) {
      for (const { leases } of this.#options.book.limitsOf(nodeId)?.buckets ?? []) {
        for (const lease of leases) if (lease.spends.length > 0) this.#rates.note(lease, false);
      }
    }
    return this.#acquirer.reportNow();
  }

  /** Closes every lease of these limits and says so at once. */
  recall(limitIds: readonly string[]): void {
    const now = this.#options.clock.now();
    this.counts.recalls += limitIds.length;
    for (const limitId of limitIds) {
      const bucket = this.bucket(limitId);
      if (bucket !== undefined) for (const lease of [...bucket.leases]) this.#close(bucket, lease, now);
    }
    this.#options.ship();
    this.#acquirer.report();
  }

  /** Closes what is over, used up or idle for `idleMs`, and reports what rate leases spent a while ago. Called on a timer. */
  sweep(idleMs: number): void {
    const now = this.#options.clock.now();
    for (const bucket of this.#options.book.leased()) {
      const idle = now.monotonicMs - Math.max(bucket.lastSpentAtMs, bucket.grantedAtMs) >= idleMs;
      for (const lease of [...bucket.leases]) {
        if (idle || lease.left === 0 || isOver(lease, now)) this.#close(bucket, lease, now);
        else if (isToTell(lease, now)) this.#rates.note(lease, false);
      }
    }
    this.#options.book.sweepIfGrown();
    this.#acquirer.report();
  }

  /** Closes everything, for an orderly end; resolves when metering has the rates, and the journal the rest. */
  async drain(): Promise<void> {
    // First: what is granted after the journal has ended would be nobody's to give back.
    await this.#acquirer.close();
    this.sweep(0);
    this.#options.ship();
    await this.#acquirer.reportAll();
  }

  #find(path: ChargePath, needs: readonly Need[], now: Moment): ChargePlan | Obstacle {
    const plan = planCharge(path, needs, now, this.#options);
    if (plan === undefined) return lacking(path, needs, []);
    return plan === "unpriced" ? UNPRICED : (this.#obstacle(plan, path, needs, now) ?? plan);
  }

  #obstacle(
    { due, tolls }: ChargePlan,
    path: ChargePath,
    needs: readonly Need[],
    now: Moment,
  ): Obstacle | undefined {
    if (tolls !== undefined && !reckon(tolls, needs)) return UNPAID;
    let isLacking = false;
    for (const { bucket, units } of due) {
      const left = bucket.left(now);
      if (units <= left) continue;
      const { refusal } = bucket;
      if (
        refusal !== undefined &&
        now.monotonicMs < refusal.untilMs &&
        units >= refusal.units &&
        left <= refusal.held
      ) {
        this.counts.refusalsRepeated++;
        // What was in hand then, others may have spent.
        const remaining = refusal.remaining - (refusal.held - left);
        return refused(bucket, remaining, refusal.retryAtMs, now);
      }
      isLacking = true;
    }
    if (isLacking) return lacking(path, needs, tolls === undefined ? due : due.map(kept));
    return tolls?.isUnpayable ? UNPAID : undefined;
  }

  #spend({ due, tolls }: ChargePlan, path: ChargePath, now: Moment): Charged {
    const { journal } = this.#options;
    const spends: Spend[] = [];
    let warnings: string[] | undefined;
    let binding: LocalBucket | undefined;
    let least = 0;
    let low: Due[] | undefined;
    for (const { bucket, units } of due) {
      if (units > 0) bucket.spend(units, now, spends);
      const left = bucket.left(now);
      const remaining = left + Math.max(bucket.remaining, 0);
      if (bucket.limit.enforcement === "WARN") {
        if (bucket.remaining < 0) {
          warnings ??= [];
          warnings.push(bucket.limit.id);
        }
      } else if (
        bucket.limit.kind !== "wallet" &&
        isKnown(bucket) &&
        (binding === undefined || remaining < least)
      ) {
        binding = bucket;
        least = remaining;
      }
      if (units > 0 && !bucket.refilling && needsMore(bucket, left, now)) {
        low ??= [];
        low.push({ bucket, units });
      }
    }
    for (const { lease, units } of spends) if (lease.ref !== undefined) journal.spend(lease.ref, units);
    if (low !== undefined) this.#refill(low, path);
    return {
      kind: "charged",
      binding: binding && { bucket: binding, remaining: least },
      warnings: warnings ?? NO_WARNINGS,
      spends,
      payments: tolls && pay(tolls),
    };
  }

  #refill(low: readonly Due[], { nodeIds, resource }: ChargePath): void {
    for (const { bucket } of low) bucket.refilling = true;
    const done = () => {
      for (const { bucket } of low) bucket.refilling = false;
    };
    this.acquire({ nodeIds, resource, needs: [], due: low }).then(done, done);
  }

  #close(bucket: LocalBucket, lease: LocalLease, now: Moment): void {
    bucket.close(lease, now);
    if (lease.ref === undefined) this.#rates.note(lease, true);
    else this.#options.journal.close(lease.ref);
  }
}

const NO_WARNINGS: readonly string[] = [];
const UNPRICED = { kind: "unpriced" } as const;
const UNPAID = { kind: "unpaid" } as const;

// A peek asks for nothing, so it may find a bucket of which nothing is known yet.
function isKnown(bucket: LocalBucket): boolean {
  return bucket.grantedAtMs > 0;
}

// Ahead of running out, or of the end of what is in hand. A quota or a wallet that lent its last units has no more to ask for;
// a rate refills.
function needsMore(bucket: LocalBucket, left: number, now: Moment): boolean {
  if (bucket.limit.kind !== "rate" && bucket.remaining <= 0) return false;
  return left <= lowWater(bucket.lastGrant) || now.monotonicMs >= bucket.renewAtMs;
}

// The plan's dues of wallets are another call's, once this one waits.
function kept(due: Due): Due {
  return due.bucket.limit.kind === "wallet" ? { ...due } : due;
}

function lacking({ nodeIds, resource }: ChargePath, needs: readonly Need[], due: readonly Due[]): Obstacle {
  return { kind: "lacking", ask: { nodeIds, resource, needs, due } };
}

function refused(
  bucket: LocalBucket,
  remaining: number,
  retryAtMs: number | undefined,
  now: Moment,
): Obstacle {
  const retryAfterMs = retryAtMs === undefined ? undefined : Math.max(retryAtMs - now.monotonicMs, 0);
  return { kind: "refused", bucket, remaining, retryAfterMs };
}
