import { type Allocation, type Ask as Claim, leaseSize, type Shortfall } from "@gatehouse/buckets";
import type { AskResult, Grant, NewLease, RoundChanges, Unknown } from "./lease.ts";
import { type QuotaBucket, QuotaShelf } from "./quota-shelf.ts";
import { RateShelf } from "./rate-shelf.ts";
import { leaseIdOf } from "./unheard-request.ts";
import { newWalletLeaseId, WalletShelf } from "./wallet-shelf.ts";

export type Shelf = QuotaShelf | RateShelf | WalletShelf;

/** The buckets of one round, by limit or wallet. */
export type Shelves = ReadonlyMap<string, Shelf>;

/** An ask as buckets see it: what may refuse it, and what only warns. */
export interface AskClaim {
  readonly enforced: Claim;
  readonly warned: Claim["needs"];
  /** Limits that never have as much at once as the call needs. */
  readonly beyond: ReadonlySet<string>;
}

/** What a round did for one applicant. */
export interface Share {
  /** By ask, in order. */
  readonly results: readonly AskResult[];
  readonly grants: readonly Grant[];
  /** Limits called back for its sake so far. */
  readonly recalled: ReadonlySet<string>;
}

/** A holder that vanished may still have units until then; afterwards they count as spent. */
export const FORFEIT_GRACE_MS = 5000;
/** A lease of a quota or a wallet is worth its round trip for a minute, and a vanished holder keeps no more than that. */
const LIFE_MS = 60_000;
/** When units that others hold may be back: a recall takes a round trip and a sealed segment. */
const RETURN_MS = 50;

/** Turns the allocations of one round into leases and answers, and keeps what is to be written. */
export class Ledger {
  readonly #shelves: Shelves;
  readonly #nowMs: number;
  readonly #newLeases: NewLease[] = [];
  readonly #newWalletLeases: NewLease[] = [];
  readonly #recalls = new Map<string, Set<string>>();

  constructor(shelves: Shelves, nowMs: number) {
    this.#shelves = shelves;
    this.#nowMs = nowMs;
  }

  share(
    applicant: { holder: string; number?: number | undefined; recalled: ReadonlySet<string> },
    claims: readonly (AskClaim | Unknown)[],
    next: () => Allocation,
  ): Share {
    const taken: Taken = new Map();
    const recalled = new Set(applicant.recalled);
    const results = claims.map((claim): AskResult => {
      if (typeof claim === "string") return { outcome: claim };
      const allocation = next();
      if (allocation.kind === "exhausted") return this.#refusal("EXHAUSTED", allocation.bucket, claim);
      if (allocation.kind === "wait") {
        // Whatever others return, it is not enough: nobody is called upon, and nobody waits.
        const hopeless = allocation.lacking.find(({ bucket }) => claim.beyond.has(bucket));
        if (hopeless !== undefined) return this.#refusal("EXHAUSTED", hopeless.bucket, claim);
        this.#recallLacking(allocation.lacking, applicant.holder, recalled);
        return this.#refusal("NOT_NOW", allocation.lacking[0]!.bucket, claim);
      }
      for (const { bucket, units } of allocation.grants) this.#take(taken, bucket, units);
      for (const need of claim.warned) this.#take(taken, need.bucket, this.#warnedUnits(need));
      return { outcome: "GRANTED" };
    });
    const grants = [...taken].flatMap(([id, rows]) =>
      [...rows].flatMap(([bucketId, units]) =>
        units > 0 ? this.#lease(applicant, id, bucketId, units) : [],
      ),
    );
    return { results, recalled, grants };
  }

  changes(): Omit<RoundChanges, "freedLimitIds"> {
    const shelves = [...this.#shelves.values()];
    const rates = shelves.filter((shelf) => shelf instanceof RateShelf);
    const wallets = shelves.filter((shelf) => shelf instanceof WalletShelf && shelf.touched);
    return {
      quotaBuckets: this.#quotas().flatMap(({ touchedRows }) => touchedRows),
      forfeits: {
        bucketIds: this.#quotas().flatMap(({ forfeited }) => [...forfeited.keys()]),
        beforeMs: this.#nowMs - FORFEIT_GRACE_MS,
      },
      rateBuckets: rates.filter(({ touched }) => touched).map(({ limitId, state }) => ({ limitId, state })),
      wallets: wallets.map(({ limitId, leased }) => ({ id: limitId, leased })),
      newLeases: this.#newLeases,
      newWalletLeases: this.#newWalletLeases,
      rateLeaseSpends: rates.flatMap(({ spends }) => [...spends].map(([id, spent]) => ({ id, spent }))),
      endedRateLeaseIds: rates.flatMap(({ ended }) => ended),
      recalls: this.#recalls,
    };
  }

  /** Units that count as spent from now on. */
  get forfeitedUnits(): number {
    return this.#quotas()
      .flatMap(({ forfeited }) => [...forfeited.values()])
      .reduce((sum, units) => sum + units, 0);
  }

  #quotas(): QuotaBucket[] {
    const shelves = [...this.#shelves.values()].filter((shelf) => shelf instanceof QuotaShelf);
    return [...new Set(shelves.map(({ bucket }) => bucket))];
  }

  #take(taken: Taken, bucket: string, units: number): void {
    const rows = taken.get(bucket) ?? new Map<string | undefined, number>();
    taken.set(bucket, rows);
    for (const piece of this.#shelves.get(bucket)!.take(units) ?? [{ bucketId: undefined, units }]) {
      rows.set(piece.bucketId, (rows.get(piece.bucketId) ?? 0) + piece.units);
    }
  }

  #warnedUnits({ bucket, need, want }: Claim["needs"][number]): number {
    const shelf = this.#shelves.get(bucket)!;
    const holders = shelf.held.size + 1;
    const units = leaseSize({ available: Math.max(shelf.available, need), need, want, holders });
    // A limit that only warns lends without end, but not beyond what can be counted.
    return shelf.leased + units <= Number.MAX_SAFE_INTEGER ? units : 0;
  }

  #refusal(outcome: "EXHAUSTED" | "NOT_NOW", limitId: string, claim: AskClaim): AskResult {
    const shelf = this.#shelves.get(limitId)!;
    const { need } = claim.enforced.needs.find(({ bucket }) => bucket === limitId)!;
    const refillMs = claim.beyond.has(limitId) ? undefined : shelf.retryAfterMs(need);
    const retryAfterMs = outcome === "EXHAUSTED" ? refillMs : Math.min(refillMs ?? RETURN_MS, RETURN_MS);
    const { available: remaining, leased } = shelf;
    return { outcome, limitId, remaining, leased, retryAfterMs, windowEndMs: endOf(shelf) };
  }

  // Once for each request: it asks again soon enough if that was not heard.
  #recallLacking(lacking: readonly Shortfall[], asking: string, recalled: Set<string>): void {
    for (const { bucket, elsewhere } of lacking) {
      if (elsewhere === 0 || recalled.has(bucket)) continue;
      recalled.add(bucket);
      for (const { holder, limitId } of holdersBesides(this.#shelves.get(bucket)!, asking)) {
        this.#recalls.set(holder, (this.#recalls.get(holder) ?? new Set()).add(limitId));
      }
    }
  }

  #lease(
    { holder, number }: { holder: string; number?: number | undefined },
    limitId: string,
    bucketId: string | undefined,
    units: number,
  ): Grant {
    const shelf = this.#shelves.get(limitId)!;
    const isOfWallet = shelf instanceof WalletShelf;
    const id = leaseIdOf(isOfWallet ? newWalletLeaseId() : crypto.randomUUID(), number);
    const ttlMs = shelf instanceof RateShelf ? shelf.lifeMs(holder) : lifeMs(shelf, this.#nowMs);
    const lease = { id, limitId, bucketId, holder, units, deadlineMs: this.#nowMs + ttlMs };
    (isOfWallet ? this.#newWalletLeases : this.#newLeases).push(lease);
    return { id, limitId, units, ttlMs, windowEndMs: endOf(shelf), remaining: shelf.available };
  }
}

/** Units of each bucket that were taken, by row. */
type Taken = Map<string, Map<string | undefined, number>>;

function holdersBesides(shelf: Shelf, asking: string): { holder: string; limitId: string }[] {
  if (shelf instanceof QuotaShelf) return shelf.holdersBesides(asking);
  const others = [...shelf.held].filter(([holder, units]) => holder !== asking && units > 0);
  return others.map(([holder]) => ({ holder, limitId: shelf.limitId }));
}

function endOf(shelf: Shelf): number | undefined {
  return shelf instanceof QuotaShelf ? shelf.endMs : undefined;
}

// A window that ended while its row was locked lends nothing that could be spent: the holder asks again.
function lifeMs(shelf: QuotaShelf | WalletShelf, nowMs: number): number {
  return Math.max(0, Math.min(LIFE_MS, (endOf(shelf) ?? Number.POSITIVE_INFINITY) - nowMs));
}
