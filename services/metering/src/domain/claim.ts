import type { AllocatableBucket, BucketPool } from "@gatehouse/buckets";
import type { Ask, Survey, Unknown } from "./lease.ts";
import type { AskClaim, Shelf, Shelves } from "./ledger.ts";
import { asPart, capacityOf, countsResource, type Limit, limitIdOf } from "./limit.ts";
import { type QuotaBucket, QuotaShelf } from "./quota-shelf.ts";
import { isWalletId, WalletShelf } from "./wallet-shelf.ts";

export type LimitsByNode = ReadonlyMap<string, readonly Limit[]>;

/** Without a wish of the holder's: this many times the need, within what lease sizes allow. */
const DEFAULT_WANT_NEEDS = 10;

/** What an ask names that is not known. */
export function unknownIn(
  { nodeIds, needs }: Ask,
  { unknownNodes, unknownMeters }: Pick<Survey, "unknownNodes" | "unknownMeters">,
): Unknown | undefined {
  if (nodeIds.some((id) => unknownNodes.has(id))) return "UNKNOWN_NODE";
  return needs.keys().some((meter) => unknownMeters.has(meter)) ? "UNKNOWN_METER" : undefined;
}

/**
 * The limits that a call is charged to, and those that the holder wants more of ahead of calls. One that it wants
 * 0 of is left out: it has what the call needs in hand, which nobody here can know, and lacks something else.
 * Without that, a bucket lent to the asking holder alone would refuse it for want of units that it holds.
 */
export function chargedTo(ask: Ask, limits: LimitsByNode): Limit[] {
  const concerns = (limit: Limit) => {
    const want = ask.wants.get(limit.id);
    return want === undefined ? needOn(limit, ask) !== undefined : want.units > 0;
  };
  const onNode = (id: string) => (limits.get(id) ?? []).map((limit) => asPart(limit, ask.nodeIds));
  return ask.nodeIds.flatMap((id) => onNode(id).filter(concerns));
}

/** The wallets that a call draws on, or that the holder wants more of, as with limits. */
export function walletsOf({ walletNeeds, wants }: Ask): string[] {
  const wanted = [...wants.keys()].filter(isWalletId);
  const named = new Set([...walletNeeds.keys(), ...wanted]);
  return [...named].filter((id) => wants.get(id)?.units !== 0);
}

export function claimOf(holder: string, ask: Ask, limits: LimitsByNode, shelves: Shelves): AskClaim {
  const mine = chargedTo(ask, limits).filter(({ id }) => shelves.has(id));
  const needOf = (limit: Limit) => needFrom(ask, limit.id, needOn(limit, ask) ?? 0);
  // After the limits: of several that cannot give, the first is the answer.
  const wallets = walletsOf(ask)
    .filter((id) => shelves.has(id))
    .map((id) => needFrom(ask, id, ask.walletNeeds.get(id) ?? 0));
  const enforced = [...mine.filter(({ enforcement }) => enforcement === "ENFORCE").map(needOf), ...wallets];
  const warned = mine.filter(({ enforcement }) => enforcement === "WARN").map(needOf);
  const beyond = new Set(
    mine.filter((limit) => (needOn(limit, ask) ?? 0) > capacityOf(limit)).map(({ id }) => id),
  );
  return { enforced: { holder, needs: enforced }, warned, beyond };
}

/** What may refuse the claims, as `allocate` sees it. */
export function bucketsOf(
  shelves: Shelves,
  claims: readonly AskClaim[],
  limits: LimitsByNode,
): ReadonlyMap<string, AllocatableBucket> {
  const enforced = new Set(
    [...limits.values()].flat().flatMap(({ id, enforcement }) => (enforcement === "ENFORCE" ? [id] : [])),
  );
  const asking = new Map<string, Set<string>>();
  for (const claim of claims) {
    for (const { bucket } of claim.enforced.needs) {
      const holders = asking.get(bucket) ?? new Set(shelves.get(bucket)!.held.keys());
      asking.set(bucket, holders.add(claim.enforced.holder));
    }
  }
  const pools = new Map<QuotaBucket, BucketPool | undefined>();
  const poolOf = ({ bucket }: QuotaShelf) => {
    if (!pools.has(bucket)) pools.set(bucket, bucket.pool);
    return pools.get(bucket);
  };
  const bucketOf = (id: string, shelf: Shelf) => {
    const pool = shelf instanceof QuotaShelf ? poolOf(shelf) : undefined;
    // Of a pool, what is left to anybody: whose part it is, is in the pool.
    const available = pool === undefined ? shelf.available : (shelf as QuotaShelf).bucket.available;
    return { available, leased: shelf.held, holders: asking.get(id)?.size ?? 1, pool };
  };
  return new Map(
    [...shelves]
      .filter(([id, shelf]) => shelf instanceof WalletShelf || enforced.has(limitIdOf(id)))
      .map(([id, shelf]) => [id, bucketOf(id, shelf)]),
  );
}

function needFrom(ask: Ask, id: string, units: number) {
  const want = ask.wants.get(id);
  const need = Math.max(units - (want?.held ?? 0), 0);
  return { bucket: id, need, want: want?.units ?? boundedProduct(need, DEFAULT_WANT_NEEDS) };
}

function needOn(limit: Limit, { needs, resource }: Ask): number | undefined {
  const units = needs.get(limit.meter);
  return units !== undefined && countsResource(limit, resource) ? units : undefined;
}

function boundedProduct(a: number, b: number): number {
  return Math.min(a * b, Number.MAX_SAFE_INTEGER);
}
