import type { LeaseSpend } from "./usage.ts";

/** A lease of a quota or a wallet as its row says. */
export interface HeldLease {
  readonly id: string;
  /** Of a wallet its own id, as `limitId` is. */
  readonly bucketId: string;
  readonly limitId: string;
  readonly units: number;
  readonly spent: number;
  readonly closed: boolean;
  readonly forfeited: boolean;
  /** Batches that may have told what was spent of it are lost. */
  readonly afterGap?: boolean;
}

/** A holder's word that does not fit: something counted what it did not have, or spoke after its last word. */
export interface LeaseAnomaly {
  readonly leaseId: string;
  readonly anomaly: "UNKNOWN" | "OVERSPENT" | "ALREADY_CLOSED";
  readonly units: number;
}

/** What is added to a bucket. */
export interface BucketDraw {
  readonly spent: number;
  readonly leased: number;
}

export interface BookedSpend {
  readonly lease: HeldLease;
  /** What changes in the bucket. */
  readonly draw: BucketDraw;
  /** Units that can be lent again. */
  readonly returned: number;
  readonly anomaly: LeaseAnomaly | undefined;
}

/**
 * Books what a holder says of a lease. A lease is open, forfeited or closed:
 *
 * - open: its unspent units are `leased` in the bucket; each spend moves units from leased to spent;
 * - forfeited: its unspent units are `spent` already, because nobody knew; spends change nothing, and the closing
 *   word gives back what was not spent after all, unless batches were lost, for then nobody will ever know;
 * - closed: settled.
 *
 * A wallet's lease is never forfeited, for nobody knows what was spent of it.
 *
 * A spend beyond what the lease held is booked as spent all the same: the units were used.
 */
export function bookSpend(lease: HeldLease, { spent, closed }: LeaseSpend): BookedSpend {
  const left = lease.closed ? 0 : Math.max(0, lease.units - lease.spent);
  const within = Math.min(spent, left);
  const over = spent - within;
  const unspent = left - within;
  const closing = closed && !lease.closed;
  const returned = closing && !lease.afterGap ? unspent : 0;
  const draw = lease.forfeited
    ? { spent: over - returned, leased: 0 }
    : { spent, leased: -(within + returned) };
  return {
    lease: { ...lease, spent: lease.spent + spent, closed: lease.closed || closed },
    draw,
    returned,
    anomaly: anomalyOf(lease, over),
  };
}

function anomalyOf({ id, closed }: HeldLease, over: number): LeaseAnomaly | undefined {
  if (over === 0) return undefined;
  return { leaseId: id, anomaly: closed ? "ALREADY_CLOSED" : "OVERSPENT", units: over };
}
