import type { RateState, Window } from "@gatehouse/buckets";
import type { Position } from "@gatehouse/changefeed";
import type { Limit } from "./limit.ts";
import type { Micros } from "./money.ts";

/** A call that waits for units. */
export interface Ask {
  /** The nodes that are charged: key, parent key, account, ancestors up to the root. */
  readonly nodeIds: readonly string[];
  readonly resource: string;
  /** Units by meter; none asks for the limits only. */
  readonly needs: ReadonlyMap<string, number>;
  /** What the call costs in micros, by wallet. */
  readonly walletNeeds: ReadonlyMap<string, number>;
  /** What the holder would like, by limit or wallet. */
  readonly wants: ReadonlyMap<string, Want>;
}

export interface Want {
  /** Units beyond the need; 0 says that the holder has what the call needs in hand. */
  readonly units: number;
  /** Units in hand that count towards the need. */
  readonly held: number;
}

export interface AskResult {
  readonly outcome: "GRANTED" | "EXHAUSTED" | "NOT_NOW" | Unknown;
  /** The limit or wallet that could not give, and what was left of it. */
  readonly limitId?: string;
  readonly remaining?: number;
  /** Units of it that are lent, to the asking holder too. */
  readonly leased?: number;
  /** Undefined also where no wait helps: the call needs more than the limit ever has at once. */
  readonly retryAfterMs?: number | undefined;
  /** Of a quota that ends. */
  readonly windowEndMs?: number | undefined;
}

/** What an ask names that the mirror does not know. */
export type Unknown = "UNKNOWN_NODE" | "UNKNOWN_METER";

/** What a holder says of a rate lease. Counts are cumulative, so that saying it twice changes nothing. */
export interface RateReport {
  readonly leaseId: string;
  /** Units spent before those in `spends`. */
  readonly reported: number;
  /** What was spent since; ages are counted back from when the request came. */
  readonly spends: readonly { readonly units: number; readonly ageMs: number }[];
  readonly closed: boolean;
}

export interface AcquireRequest {
  /** `<producer>/<epoch>` */
  readonly holder: string;
  /** Of the holder's; undefined where it does not number them. */
  readonly number?: number | undefined;
  readonly asks: readonly Ask[];
  readonly reports: readonly RateReport[];
}

/** Units handed to the holder; of a wallet, micros. */
export interface Grant {
  readonly id: string;
  /** Or the wallet's id. */
  readonly limitId: string;
  readonly units: number;
  readonly ttlMs: number;
  /** Undefined for none. */
  readonly windowEndMs: number | undefined;
  /** What the bucket has left. */
  readonly remaining: number;
}

export interface AcquireAnswer {
  /** The limits of every node named in the asks. */
  readonly limits: ReadonlyMap<string, readonly Limit[]>;
  /** Of those that are accounts with wallets, or that draw on their parent's. */
  readonly money: ReadonlyMap<string, NodeMoney>;
  /** Where metering's log stood when those were read. */
  readonly freshness: string;
  readonly results: readonly AskResult[];
  readonly leases: readonly Grant[];
}

/** A row of a quota's bucket, locked. */
export interface QuotaBucketRow {
  readonly id: string;
  readonly limitId: string;
  /** The node that a share is kept for; empty for what is common to all. */
  readonly shareNode: string;
  readonly endMs: number | undefined;
  readonly spent: number;
  readonly leased: number;
}

export interface RateBucketRow {
  readonly limitId: string;
  readonly state: RateState;
}

/** Whom calls on an account draw on. */
export interface NodeMoney {
  readonly usesParentBalance: boolean;
  readonly wallets: readonly { readonly id: string; readonly currency: string }[];
}

/** A wallet's row, locked; amounts in micros. */
export interface WalletRow {
  readonly id: string;
  readonly balance: Micros;
  readonly creditLimit: Micros;
  readonly leased: Micros;
}

/** What one holder has in hand of a quota's bucket or a wallet: units that it may still return. */
export interface HeldUnits {
  readonly limitId: string;
  readonly holder: string;
  readonly units: number;
}

/** The limit is the part that was lent of; the bucket is the row. */
export interface HeldOfQuota extends HeldUnits {
  readonly bucketId: string;
  /** Its deadline is so long ago that the holder has vanished: what it did not speak of counts as spent. */
  readonly isForfeited: boolean;
}

export interface RateLeaseRow {
  readonly id: string;
  readonly limitId: string;
  readonly holder: string;
  readonly units: number;
  /** Reported so far. */
  readonly spent: number;
  readonly deadlineMs: number;
}

export interface NewLease {
  readonly id: string;
  readonly limitId: string;
  /** Of a quota. */
  readonly bucketId: string | undefined;
  readonly holder: string;
  readonly units: number;
  readonly deadlineMs: number;
}

/** What a round changes. Buckets and leases not named stay as they are. */
export interface RoundChanges {
  readonly quotaBuckets: readonly QuotaBucketRow[];
  readonly rateBuckets: readonly RateBucketRow[];
  /** What is lent of wallets. */
  readonly wallets: readonly { readonly id: string; readonly leased: number }[];
  readonly newLeases: readonly NewLease[];
  /** Of wallets, by `limitId`. */
  readonly newWalletLeases: readonly NewLease[];
  readonly rateLeaseSpends: readonly { readonly id: string; readonly spent: number }[];
  readonly endedRateLeaseIds: readonly string[];
  /** Rows of quotas' buckets whose leases with a deadline at or before `beforeMs` are forfeited. */
  readonly forfeits: { readonly bucketIds: readonly string[]; readonly beforeMs: number };
  /** Limits of which units came back: wakes those who wait, here and in the other replicas. */
  readonly freedLimitIds: readonly string[];
  /** Limits to close, by holder. */
  readonly recalls: ReadonlyMap<string, ReadonlySet<string>>;
}

/** Limits, and whom accounts draw on, as they were at a position of metering's log. */
export interface Terms {
  readonly position: Position;
  readonly limits: readonly Limit[];
  readonly money: ReadonlyMap<string, NodeMoney>;
}

/** What a round is about. */
export interface RoundNames {
  readonly holders: readonly string[];
  readonly nodeIds: readonly string[];
  readonly meters: readonly string[];
  /** Of rates, of which holders say something. */
  readonly leaseIds: readonly string[];
}

/** What is known before anything is locked: the terms of the nodes and of the leases' limits, and where the rows are. */
export interface Survey {
  readonly nowMs: number;
  readonly terms: Terms;
  readonly endedHolders: ReadonlySet<string>;
  /** What the mirror does not know. */
  readonly unknownNodes: ReadonlySet<string>;
  readonly unknownMeters: ReadonlySet<string>;
  /** Rows of the windows that `nowMs` is in, by limit. */
  readonly quotas: ReadonlyMap<string, readonly Pick<QuotaBucketRow, "id" | "shareNode">[]>;
  /** Limits that have a state of their rate. */
  readonly rates: ReadonlySet<string>;
  /** The leases' limits. */
  readonly reported: readonly string[];
}

/** Rows that a round needs and that are not written down. */
export interface MissingRows {
  readonly atMs: number;
  readonly windows: readonly { readonly limitId: string; readonly window: Window }[];
  /** Of limits whose window is written down, or is among those. */
  readonly shares: readonly { readonly limitId: string; readonly nodeId: string }[];
  readonly rates: readonly { readonly limitId: string; readonly state: RateState }[];
}

/** What a round locks: holders, whose epochs do not end before it does, rows of quotas, rates by limit, and wallets. */
export interface Locks {
  readonly holders: readonly string[];
  readonly quotas: readonly string[];
  readonly rates: readonly string[];
  readonly wallets: readonly string[];
}

/** What is locked, without what is gone, and what is lent of it. */
export interface Stock {
  readonly nowMs: number;
  readonly terms: Terms;
  readonly endedHolders: ReadonlySet<string>;
  readonly quotas: readonly QuotaBucketRow[];
  readonly quotaLeases: readonly HeldOfQuota[];
  readonly rates: readonly RateBucketRow[];
  readonly rateLeases: readonly RateLeaseRow[];
  readonly wallets: readonly WalletRow[];
  /** Without those of holders that have vanished. */
  readonly walletLeases: readonly HeldUnits[];
}

export interface LeaseTx {
  /**
   * Locks in one order: holders, quotas by id, rates by limit, wallets by id; then reads. The terms are those that
   * `survey` knows, unless metering's log has moved on since. Holders have vanished whose leases ended `graceMs` ago.
   */
  lock(
    locks: Locks,
    known: { readonly survey: Survey; readonly nodeIds: readonly string[]; readonly graceMs: number },
  ): Promise<Stock>;
  write(changes: RoundChanges): Promise<void>;
}

export interface LeaseStore {
  survey(names: RoundNames): Promise<Survey>;
  /**
   * Writes rows down that are not there yet. A window begins no earlier than the bucket before it ended, which counts
   * where the limit's zone or anchor has changed.
   */
  open(missing: MissingRows): Promise<void>;
  /** Runs `work` in a transaction; it may run more than once, and has no effect outside `tx`. */
  transact<T>(work: (tx: LeaseTx) => Promise<T>): Promise<T>;
}
