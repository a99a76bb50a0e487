import type { RateState } from "@gatehouse/buckets";
import type { Actor } from "./actor.ts";
import type { Limit, LimitTerms, NodeRef, ReservedShare } from "./limit.ts";

/** What happened to a limit. */
export interface LimitAudit {
  readonly action: "gatehouse.limits.set" | "gatehouse.limits.delete" | "gatehouse.limits.reset";
  readonly limitId: string;
  /** Of a reset, with what was in the bucket. */
  readonly before: (Limit & { readonly used?: number; readonly leased?: number }) | undefined;
  readonly after: Limit | undefined;
}

/** Which limits are listed. */
export interface LimitScope {
  readonly nodeId: string;
  /** The node's own; an account's and its keys'; those and all that are below it; or, of the root, every one. */
  readonly breadth: "NODE" | "KEYS" | "BELOW" | "ALL";
}

export interface LimitStore {
  /**
   * Runs `work` in a transaction that has the nodes' limits to itself, and commits it with the change of these
   * nodes. `work` may run more than once.
   */
  mutate<T>(
    nodeIds: readonly string[],
    actor: Actor,
    work: (tx: LimitTx) => Promise<T>,
  ): Promise<{ readonly value: T; readonly freshness: string }>;
  find(limitId: string): Promise<Limit | undefined>;
  /** The limits with the identity that these nodes have. */
  sameOn(nodeIds: readonly string[], terms: LimitTerms): Promise<readonly Limit[]>;
  /** The limits of a scope, oldest first, after the one with the id `afterId`. */
  list(scope: LimitScope, afterId: string, count: number): Promise<readonly Limit[]>;
  /** By limit on these accounts: what the units of the same limits on the accounts right below add up to. */
  allocatedBelow(accountIds: readonly string[]): Promise<ReadonlyMap<string, bigint>>;
  /** What is in the buckets of these nodes' limits now; `holder` is whose part of what is lent is told apart. */
  readBuckets(
    nodeIds: readonly string[],
    holder?: string,
  ): Promise<{ nowMs: number; buckets: readonly BucketReading[] }>;
}

/** A limit with its bucket as the rows say; `undefined` where nothing was ever drawn from it. */
export interface BucketReading {
  readonly limit: Limit;
  readonly quota: QuotaReading | undefined;
  readonly rate: RateState | undefined;
  /** What of its leases is the holder's that was asked about. */
  readonly leasedToHolder: number;
}

export interface QuotaReading {
  readonly spent: number;
  readonly leased: number;
  /** Undefined: never ends. */
  readonly endMs: number | undefined;
  /** What of both is of the rows of shares, by node. */
  readonly drawnOfShares?: ReadonlyMap<string, number>;
}

/** Nobody else changes limits on the nodes meanwhile. */
export interface LimitTx {
  nowMs(): Promise<number>;
  /** The limit as it is now. */
  find(limitId: string): Promise<Limit | undefined>;
  /** The limit with the same identity, if the node has it. */
  same(node: NodeRef, terms: LimitTerms): Promise<Limit | undefined>;
  /** How many are set on the node itself. */
  countOwn(node: NodeRef): Promise<number>;
  /** What the plan gives the node; none for what is no organization. */
  planTerms(node: NodeRef): Promise<readonly LimitTerms[]>;
  insert(id: string, node: NodeRef, terms: LimitTerms): Promise<Limit>;
  /** Undefined if it is gone. */
  update(id: string, source: Limit["source"], terms: LimitTerms): Promise<Limit | undefined>;
  sharesOf(limitId: string): Promise<readonly ReservedShare[]>;
  /** Does what is below the node have a share of the limit's bucket? */
  hasShareBelow(limitId: string, nodeId: string): Promise<boolean>;
  /** Notes the share that the limit has of another's bucket. */
  reserve(limitId: string, share: Limit["reserved"]): Promise<void>;
  /** With the shares of it. Answers whether there was one. */
  remove(id: string): Promise<boolean>;
  /** Undefined for a quota, and for a rate whose state was lost. */
  rateState(limitId: string): Promise<RateState | undefined>;
  writeRateState(limitId: string, state: RateState): Promise<void>;
  /** Forgets every lease of a rate: nothing that is told of them is heard any more. */
  dropRateLeases(limitId: string): Promise<void>;
  /**
   * Ends the bucket of a quota's running window and begins another, which ends when that one would have. Answers
   * what had been drawn of it; undefined, and nothing is done, where nothing was.
   */
  renewQuota(limitId: string): Promise<QuotaReading | undefined>;
  /** Wakes those who wait for units of the limit, once this has committed. */
  freed(limitId: string): Promise<void>;
  /**
   * Locks the buckets of limits, in the order that lending does. Before one of them changes: whoever locks two that a
   * call is charged to one after another may wait for a round of lending that waits for it.
   */
  lock(limitIds: readonly string[]): Promise<void>;
  /**
   * Tells every holder to close its leases of the limit, once this has committed. Locks its bucket: who lends of it just
   * now has done so, and whoever comes later finds the limit as it is then.
   */
  recall(limitId: string): Promise<void>;
  audit(event: LimitAudit): Promise<void>;
}
