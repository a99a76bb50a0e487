import type { Window } from "@gatehouse/buckets";
import type { DrawnBucket } from "./drawn-bucket.ts";
import type { Limit } from "./limit.ts";
import type { AccountName } from "./mirror.ts";
import type { Pricing } from "./pricing.ts";
import type { MinuteUsage } from "./usage.ts";
import type { EventWorld, UsageEvent } from "./usage-event.ts";

/** A time that a limit's bucket is wanted of, and the window that the limit says it is in. */
export interface BucketPlace {
  readonly limitId: string;
  readonly atMs: number;
  readonly window: Window;
}

/** An event that wants to be booked; no two at a time are of one source, day and id. */
export interface Claim {
  readonly source: string;
  /** Of the event's time, in UTC: days since 1970. */
  readonly day: number;
  readonly event: UsageEvent;
}

/** A transaction over reported events: claims them first, then locks quotas' buckets by id, then wallets. */
export interface ReportTx {
  readonly pricing: Pricing;
  /**
   * Notes events as booked. Answers those under whose names one was already, with its contents; one that another
   * transaction is booking is waited for.
   */
  claim(claims: readonly Claim[]): Promise<ReadonlyMap<Claim, Buffer>>;
  limitsOn(nodeIds: readonly string[]): Promise<readonly Limit[]>;
  /** The buckets' ids, in order; what was not written down yet is now. */
  bucketsAt(places: readonly BucketPlace[]): Promise<readonly string[]>;
  /** Adds to what is spent of buckets, which may leave less than nothing. */
  draw(units: ReadonlyMap<string, number>): Promise<readonly DrawnBucket[]>;
  bookUsage(usage: readonly MinuteUsage[]): Promise<void>;
  /** Once this has committed: calls every lease of these limits back. */
  recall(limitIds: readonly string[]): Promise<void>;
}

export interface ReportStore {
  lookUp(names: {
    readonly keyIds: ReadonlySet<string>;
    readonly accounts: ReadonlyMap<string, AccountName>;
    readonly meters: ReadonlySet<string>;
  }): Promise<EventWorld>;
  /** Runs `work` in a transaction; it may run more than once, and has no effect outside `tx`. */
  transact<T>(work: (tx: ReportTx) => Promise<T>): Promise<T>;
}
