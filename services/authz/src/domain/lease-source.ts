import type { Position } from "@gatehouse/changefeed";
import type { Limit } from "./limit.ts";
import type { NodeMoney } from "./limit-book.ts";
import type { Trace } from "./trace.ts";

/** What the lease pool asks of metering. Units are whole numbers, times milliseconds. */

export interface Need {
  readonly meter: string;
  readonly units: number;
}

/** A call that waits for units: everything that it charges, of every bucket that applies. */
export interface Ask {
  /** Key, parent key, account, ancestors up to the root. */
  readonly nodeIds: readonly string[];
  readonly resource: string;
  /** Empty: a refill in the background, for `wants` alone, or only to learn the limits. */
  readonly needs: readonly Need[];
  readonly wants: readonly Want[];
  /** What the call costs, of each wallet. */
  readonly walletNeeds: readonly WalletNeed[];
}

export interface WalletNeed {
  readonly walletId: string;
  readonly micros: number;
}

export interface Want {
  readonly limitId: string;
  /** Units; 0 where what the call needs is in hand. */
  readonly units: number;
  /** Units in hand: the ask needs only the rest. */
  readonly held: number;
}

export interface RateReport {
  readonly leaseId: string;
  readonly reported: number;
  readonly spends: readonly { readonly units: number; readonly ageMs: number }[];
  readonly closed: boolean;
}

export type AskResult =
  | { readonly outcome: "GRANTED" }
  | ({ readonly outcome: "EXHAUSTED" } & Shortage)
  | ({ readonly outcome: "NOT_NOW" } & Shortage)
  | { readonly outcome: "UNKNOWN_NODE" };

/** Which bucket could not give, and when it may. */
export interface Shortage {
  readonly limitId: string;
  /** Unix milliseconds; undefined where no window ends. */
  readonly windowEndMs: number | undefined;
  readonly remaining: number;
  /** Lent, to this replica too: as much may still come back. */
  readonly leased: number;
  readonly retryAfterMs: number | undefined;
}

export interface GrantedLease {
  readonly id: string;
  readonly limitId: string;
  readonly units: number;
  /** From when the request was sent. */
  readonly ttlMs: number;
  /** Unix milliseconds; undefined where the window never ends. */
  readonly windowEndMs: number | undefined;
  readonly remaining: number;
}

export interface AcquireReply {
  /** Where metering's log stood when the limits were read. */
  readonly position: Position;
  readonly limits: readonly {
    readonly nodeId: string;
    readonly limits: readonly Limit[];
    /** Undefined for one without wallets. */
    readonly money?: NodeMoney | undefined;
  }[];
  /** For each ask, in order. */
  readonly results: readonly AskResult[];
  readonly leases: readonly GrantedLease[];
}

export interface AcquireRequest {
  /** From 1. */
  readonly number: number;
  /** The state of identity that the asks rely on. */
  readonly identityFreshness: string;
  readonly asks: readonly Ask[];
  readonly reports: readonly RateReport[];
}

export interface LeaseSource {
  /**
   * Settles within its own deadline. `onLate` is told of an answer that came after the deadline: what it lends is lent.
   * `onLost` is told that no answer will come or be taken any more: what it lent is nobody's.
   */
  acquire(
    request: AcquireRequest,
    trace?: Trace,
    onLate?: (reply: AcquireReply) => void,
    onLost?: () => void,
  ): Promise<AcquireReply>;
}
