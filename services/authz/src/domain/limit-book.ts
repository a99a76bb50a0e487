import { ChangeRing, type Position, type Replica } from "@gatehouse/changefeed";
import { type Limit, walletLimit } from "./limit.ts";
import { LocalBucket } from "./local-bucket.ts";
import { Cached, S3Fifo } from "./s3-fifo.ts";

/**
 * Which limits are on which node, kept true by metering's change feed under the same rule as keys are: what
 * was read before a change is not stored after it. A node's limits may change while its leases live on, so
 * buckets are found by limit, too.
 */

/** A node whose limits changed. */
export interface LimitChange {
  readonly revision: number;
  readonly nodeId: string;
}

/** Whom calls on an account draw on. */
export interface NodeMoney {
  readonly usesParentBalance: boolean;
  readonly wallets: readonly { readonly id: string; readonly currency: string }[];
}

/** The buckets on a node, as long as they are these. */
export class NodeLimits extends Cached {
  /** The node's id. */
  readonly name: string;
  readonly buckets: readonly LocalBucket[];
  /** Of an account, in each of its currencies. */
  readonly wallets: readonly LocalBucket[];
  readonly usesParentBalance: boolean;
  /** False once they were replaced, doubted or evicted: whoever kept this asks again. */
  isCurrent = true;

  constructor(
    nodeId: string,
    buckets: readonly LocalBucket[],
    wallets: readonly LocalBucket[],
    usesParentBalance: boolean,
  ) {
    super();
    this.name = nodeId;
    this.buckets = buckets;
    this.wallets = wallets;
    this.usesParentBalance = usesParentBalance;
  }
}

// Most nodes have no limits of their own.
const NONE: readonly LocalBucket[] = [];
const NO_MONEY: NodeMoney = { usesParentBalance: false, wallets: [] };

/** Nodes whose changes are remembered, and up to twice as many; as identity's cache does. */
const RING_CAPACITY = 32_768;
/** Buckets that may lie about unused before they are looked for. */
const SPARE_BUCKETS = 1000;

export class LimitBook implements Replica<LimitChange> {
  readonly #nodes: S3Fifo<NodeLimits>;
  readonly #buckets = new Map<string, LocalBucket>();
  readonly #leased = new Set<LocalBucket>();
  #sweepAtSize = SPARE_BUCKETS;
  #ring = new ChangeRing(RING_CAPACITY, 0);
  #position: Position | undefined;
  /** Leases that were given up because metering's history was replaced. */
  forfeited = 0;

  /** `capacity` nodes at most. */
  constructor(capacity: number) {
    this.#nodes = new S3Fifo(capacity, (node) => {
      node.isCurrent = false;
    });
  }

  /** The limits on a node; undefined: not known here. */
  limitsOf(nodeId: string): NodeLimits | undefined {
    return this.#nodes.get(nodeId);
  }

  /** Nodes whose limits are known, and how many of them had to make room for others. */
  get size(): number {
    return this.#nodes.size;
  }

  get evictions(): number {
    return this.#nodes.evictions;
  }

  bucket(limitId: string): LocalBucket | undefined {
    return this.#buckets.get(limitId);
  }

  /** A bucket holds a lease from now on. */
  lent(bucket: LocalBucket): void {
    this.#leased.add(bucket);
  }

  /** The buckets that hold leases; those that hold none any more leave it here. */
  *leased(): Iterable<LocalBucket> {
    for (const bucket of this.#leased) {
      if (bucket.leases.length === 0) this.#leased.delete(bucket);
      else yield bucket;
    }
  }

  /** Stores a node's limits as read at a position. False: the read came too late to be believed. */
  fill(nodeId: string, limits: readonly Limit[], position: Position, money = NO_MONEY): boolean {
    if (
      position.incarnation !== this.#position?.incarnation ||
      this.#ring.changedAfter(nodeId, position.revision)
    ) {
      return false;
    }
    const known = this.#nodes.peek(nodeId);
    if (known !== undefined && sameLimits(known.buckets, limits) && sameMoney(known, money)) return true;
    const buckets = limits.length === 0 ? NONE : limits.map((limit) => this.#open(limit));
    const { usesParentBalance, wallets } = money;
    const opened =
      wallets.length === 0
        ? NONE
        : wallets.map(({ id, currency }) => this.#open(walletLimit(id, nodeId, currency)));
    this.#nodes.set(new NodeLimits(nodeId, buckets, opened, usesParentBalance));
    return true;
  }

  /** Sweeps when there are twice as many buckets as the last sweep left: looking at all must not stall a turn. */
  sweepIfGrown(): void {
    if (this.#buckets.size < this.#sweepAtSize) return;
    this.sweep();
    this.#sweepAtSize = 2 * this.#buckets.size + SPARE_BUCKETS;
  }

  /** Forgets buckets that hold nothing and are on no known node. */
  sweep(): void {
    const known = new Set<LocalBucket>();
    for (const bucket of this.#buckets.values()) {
      const node = this.#nodes.peek(bucket.limit.nodeId);
      const isOnNode =
        node?.buckets.some((each) => each === bucket || hasPart(each, bucket)) ||
        node?.wallets.includes(bucket);
      if (isOnNode || bucket.leases.length > 0) known.add(bucket);
    }
    for (const [limitId, bucket] of this.#buckets) if (!known.has(bucket)) this.#buckets.delete(limitId);
  }

  position(): Position | undefined {
    return this.#position;
  }

  apply(after: Position, changes: readonly LimitChange[]): Position {
    for (const { nodeId, revision } of changes) {
      this.#ring.record(nodeId, revision);
      this.doubt([nodeId]);
    }
    this.#position = { ...after, revision: changes.at(-1)?.revision ?? after.revision };
    return this.#position;
  }

  restart(head: Position): Position {
    this.#nodes.clear();
    // Metering's history was replaced: it may know nothing of what it lent, and lend it again.
    if (this.#position !== undefined) {
      for (const bucket of this.#buckets.values()) {
        this.forfeited += bucket.leases.length;
        bucket.forfeit();
      }
    }
    this.#ring = new ChangeRing(RING_CAPACITY, head.revision);
    this.#position = head;
    return head;
  }

  /** A bell: these nodes are asked for again at their next use. */
  doubt(nodeIds: readonly string[]): void {
    for (const nodeId of nodeIds) {
      const node = this.#nodes.peek(nodeId);
      if (node === undefined) continue;
      for (const bucket of node.buckets) {
        bucket.refusal = undefined;
        for (const part of bucket.parts?.values() ?? []) part.refusal = undefined;
      }
      for (const wallet of node.wallets) wallet.refusal = undefined;
      this.#nodes.delete(nodeId);
    }
  }

  #open(limit: Limit): LocalBucket {
    const bucket = this.#keep(limit, limit.id);
    const { reservedFor = NOBODY } = limit;
    bucket.parts =
      reservedFor.length === 0
        ? undefined
        : new Map(reservedFor.map((nodeId) => [nodeId, this.#keep(limit, `${limit.id}@${nodeId}`)]));
    return bucket;
  }

  #keep(limit: Limit, id: string): LocalBucket {
    const bucket = this.#buckets.get(id) ?? new LocalBucket(limit, id);
    bucket.limit = limit;
    this.#buckets.set(id, bucket);
    return bucket;
  }
}

const NOBODY: readonly string[] = [];

function hasPart({ parts }: LocalBucket, bucket: LocalBucket): boolean {
  return parts?.values().some((part) => part === bucket) ?? false;
}

function sameMoney(node: NodeLimits, { usesParentBalance, wallets }: NodeMoney): boolean {
  return (
    node.usesParentBalance === usesParentBalance &&
    node.wallets.length === wallets.length &&
    node.wallets.every(({ limit }, i) => limit.id === wallets[i]!.id)
  );
}

function sameNodes(a: readonly string[] = NOBODY, b: readonly string[] = NOBODY): boolean {
  return a.length === b.length && a.every((nodeId, i) => nodeId === b[i]);
}

function sameLimits(buckets: readonly LocalBucket[], limits: readonly Limit[]): boolean {
  return (
    buckets.length === limits.length &&
    buckets.every(({ limit }, i) => {
      const other = limits[i]!;
      return (
        limit.id === other.id &&
        limit.enforcement === other.enforcement &&
        sameNodes(limit.reservedFor, other.reservedFor)
      );
    })
  );
}
