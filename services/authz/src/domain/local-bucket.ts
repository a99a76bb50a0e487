import type { Moment } from "@gatehouse/changefeed";
import type { Grant } from "@gatehouse/scopes";
import { type Limit, patternMatcher } from "./limit.ts";

/** Units of one bucket that this replica may spend until a deadline. */
export interface LocalLease {
  readonly id: string;
  /** The journal's handle; undefined for rate leases, which need no durable record. */
  readonly ref: object | undefined;
  readonly units: number;
  /** Spendable until either clock has passed its deadline: a suspended machine's monotonic clock stands still. */
  readonly deadline: Moment;
  /** From when it was asked for to its deadline. */
  readonly lifeMs: number;
  left: number;
  /** Rate leases: what was spent and not yet reported, oldest first, and how much was reported before. */
  readonly spends: RateSpend[];
  reported: number;
}

/** Units spent between two moments, reported as of the later one. */
export interface RateSpend {
  units: number;
  readonly sinceMs: number;
  atMs: number;
}

/** What calls that a wallet paid for left of a micro, of one price: parts of the price's `perUnits`. */
export interface Carry {
  parts: number;
}

/** Units that a call took from a lease. */
export interface Spend {
  readonly bucket: LocalBucket;
  readonly lease: LocalLease;
  readonly units: number;
}

/** What metering refused, remembered for a while. */
export interface RememberedRefusal {
  /** Refuses calls that ask this many units or more, while no more than `held` are in hand. */
  readonly units: number;
  readonly held: number;
  readonly untilMs: number;
  readonly remaining: number;
  /** Monotonic time at which units may be there again; undefined if unknown. */
  readonly retryAtMs: number | undefined;
}

/** Renewed at two thirds of its life, a lease in use never ends before the next is here. */
const RENEW_AT_SHARE = 2 / 3;
/**
 * Metering lends a rate's units for long where they would not be missed: what was spent of such a lease may be told
 * later, too. Of one that lives 2 s it is told by every sweep.
 */
const TOLD_AT_SHARE = 1 / 4;
/**
 * Spends within this are reported as one, of the latest moment: they begin to refill that much later at most, 50 ms of
 * a life of 2 s. One by one they would make reports as many entries as there are calls, each of which metering would
 * have to take in, too.
 */
const MERGED_SHARE = 1 / 40;
/** More would make a report long; the newest is widened instead, which only loses refill. */
const MAX_SPENDS = 16;

/** One limit as this replica can spend it. */
export class LocalBucket {
  limit: Limit;
  /** What leases of it are called: the limit's id, with that of the node that has a share of it for a part. */
  readonly id: string;
  /** By node that has a share of it, what its calls draw on in the place of this. */
  parts: ReadonlyMap<string, LocalBucket> | undefined;
  readonly matcher: Grant | undefined;
  /** Oldest first. */
  leases: LocalLease[] = [];
  refusal: RememberedRefusal | undefined;
  /** A background refill is on its way. */
  refilling = false;
  /** Units of the latest grant, and what the bucket had left after it. */
  lastGrant = 0;
  remaining = 0;
  windowEndMs: number | undefined;
  /** Demand since the latest grant. */
  spentSinceGrant = 0;
  grantedAtMs = 0;
  lastSpentAtMs = 0;
  /** When units were last given back by the journal, of which metering may not have heard yet. */
  returnedAtMs = Number.NEGATIVE_INFINITY;
  /** From then on, a bucket in use is refilled though it is not low: its newest lease is about to end. */
  renewAtMs = 0;
  #left = 0;
  #carries: Map<string, Carry> | undefined;

  constructor(limit: Limit, id = limit.id) {
    this.limit = limit;
    this.id = id;
    this.matcher = patternMatcher(limit.pattern);
  }

  /** What calls draw on that are charged to these nodes: this, or the part of the one that has a share. */
  partFor(nodeIds: readonly string[]): LocalBucket {
    if (this.parts === undefined) return this;
    for (const nodeId of nodeIds) {
      const part = this.parts.get(nodeId);
      if (part !== undefined) return part;
    }
    return this;
  }

  /** Does it count a call of this resource? */
  counts(resource: string): boolean {
    return this.matcher === undefined || (resource !== "" && this.matcher.allows(resource));
  }

  /** Of a wallet: what is carried of a price. */
  carryOf(priceId: string): Carry {
    this.#carries ??= new Map();
    const carry = this.#carries.get(priceId) ?? { parts: 0 };
    this.#carries.set(priceId, carry);
    return carry;
  }

  /** Units that can be spent now. */
  left(now: Moment): number {
    for (const lease of this.leases) {
      if (isOver(lease, now)) return this.#recount(now);
    }
    return this.#left;
  }

  grant(lease: LocalLease, now: Moment): void {
    this.leases.push(lease);
    this.#left += lease.left;
    this.lastGrant = lease.units;
    this.spentSinceGrant = 0;
    this.grantedAtMs = now.monotonicMs;
    this.renewAtMs = now.monotonicMs + (lease.deadline.monotonicMs - now.monotonicMs) * RENEW_AT_SHARE;
    this.refusal = undefined;
  }

  /** Spends units that are left, from the oldest lease first. Each piece is put on the list. */
  spend(units: number, now: Moment, spends: Spend[]): void {
    let rest = units;
    for (const lease of this.leases) {
      if (rest === 0) break;
      if (lease.left === 0 || isOver(lease, now)) continue;
      const piece = Math.min(rest, lease.left);
      lease.left -= piece;
      rest -= piece;
      if (lease.ref === undefined) noteSpend(lease, piece, now.monotonicMs);
      spends.push({ bucket: this, lease, units: piece });
    }
    if (rest !== 0)
      throw new Error(`limit ${this.limit.id}: ${rest} of ${units} units were not there to spend`);
    this.#left -= units;
    this.spentSinceGrant += units;
    this.lastSpentAtMs = now.monotonicMs;
  }

  /** Undoes a spend that could not be recorded. The lease may be closed by now: then its units went back whole. */
  unspend(lease: LocalLease, units: number): void {
    lease.left += units;
    if (this.leases.includes(lease)) this.#left += units;
    if (lease.ref === undefined) forgetSpend(lease, units);
  }

  /** Stops spending a lease and forgets it. */
  close(lease: LocalLease, now: Moment): void {
    this.leases = this.leases.filter((other) => other !== lease);
    if (lease.ref !== undefined && lease.left > 0) this.returnedAtMs = now.monotonicMs;
    this.#recount(now);
  }

  /** Forgets every lease, unspent as they are. */
  forfeit(): void {
    this.leases = [];
    this.#left = 0;
    this.refusal = undefined;
  }

  #recount(now: Moment): number {
    this.#left = 0;
    for (const lease of this.leases) if (!isOver(lease, now)) this.#left += lease.left;
    return this.#left;
  }
}

export function isOver(lease: LocalLease, now: Moment): boolean {
  return now.monotonicMs >= lease.deadline.monotonicMs || now.wallMs >= lease.deadline.wallMs;
}

/** Was some of a rate lease spent so long ago that it is to be told, if nothing else asks metering? */
export function isToTell({ spends, lifeMs }: LocalLease, now: Moment): boolean {
  return spends.length > 0 && now.monotonicMs - spends[0]!.sinceMs >= lifeMs * TOLD_AT_SHARE;
}

function noteSpend(lease: LocalLease, units: number, atMs: number): void {
  const last = lease.spends.at(-1);
  if (
    last !== undefined &&
    (atMs - last.sinceMs < lease.lifeMs * MERGED_SHARE || lease.spends.length === MAX_SPENDS)
  ) {
    last.units += units;
    last.atMs = atMs;
  } else {
    lease.spends.push({ units, sinceMs: atMs, atMs });
  }
}

// From the newest back. What was reported meanwhile is taken back as well: metering skips as many of the units
// spent next, because it counts from the beginning.
function forgetSpend(lease: LocalLease, units: number): void {
  let rest = units;
  for (let last = lease.spends.at(-1); last !== undefined && rest > 0; last = lease.spends.at(-1)) {
    const piece = Math.min(rest, last.units);
    last.units -= piece;
    rest -= piece;
    if (last.units === 0) lease.spends.pop();
  }
  lease.reported -= rest;
}
