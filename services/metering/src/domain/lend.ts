import { allocate, type BucketPool, rate, windowAt } from "@gatehouse/buckets";
import type { Ask, LeaseTx, NodeMoney, RateReport, Unknown } from "./lease.ts";
import { type AskClaim, Ledger, type Share, type Shelf, type Shelves } from "./ledger.ts";
import {
  asPart,
  capacityOf,
  countsResource,
  isQuota,
  isRate,
  type Limit,
  limitIdOf,
  partOf,
} from "./limit.ts";
import { QuotaBucket, QuotaShelf } from "./quota-shelf.ts";
import { MOST_LIFE_MS, RateShelf } from "./rate-shelf.ts";
import { isWalletId, WalletShelf } from "./wallet-shelf.ts";

/**
 * One round of lending: every ask that waits, in the order they came, in one transaction.
 *
 * The limits are read before the buckets are locked, to know which, and again afterwards, because changing a
 * limit locks its bucket too: what was lowered meanwhile is seen lowered. A limit that came in between is in the
 * answer but not among the leases, and the holder, which checks again with what it got, asks for it.
 */
export interface Applicant {
  readonly holder: string;
  readonly number?: number | undefined;
  /** Named in the request; their limits are part of the answer. */
  readonly nodeIds: readonly string[];
  readonly asks: readonly Ask[];
  readonly reports: readonly RateReport[];
  /** Limits already called back for its sake. */
  readonly recalled: ReadonlySet<string>;
}

export interface Round {
  readonly shares: readonly Share[];
  readonly limits: ReadonlyMap<string, readonly Limit[]>;
  readonly money: ReadonlyMap<string, NodeMoney>;
  readonly freshness: string;
  /** Holders whose epochs have ended: they were lent nothing. */
  readonly endedHolders: ReadonlySet<string>;
}

/** A holder that vanished may still have units until then; afterwards they count as spent. */
export const FORFEIT_GRACE_MS = 5000;
/** Without a wish of the holder's: this many times the need, within what lease sizes allow. */
const DEFAULT_WANT_NEEDS = 10;

export async function lend(tx: LeaseTx, all: readonly Applicant[]): Promise<Round> {
  const nodeIds = unique(all.flatMap((applicant) => applicant.nodeIds));
  const meters = unique(all.flatMap(({ asks }) => asks.flatMap(({ needs }) => [...needs.keys()])));
  const holders = unique(all.map(({ holder }) => holder));
  const { nowMs, endedHolders, unknownNodes, unknownMeters } = await tx.survey(holders, nodeIds, meters);
  const applicants = all.map((applicant) =>
    endedHolders.has(applicant.holder) ? { ...applicant, asks: [], reports: [] } : applicant,
  );
  const unknownIn = ({ nodeIds, needs }: Ask): Unknown | undefined => {
    if (nodeIds.some((id) => unknownNodes.has(id))) return "UNKNOWN_NODE";
    return needs.keys().some((meter) => unknownMeters.has(meter)) ? "UNKNOWN_METER" : undefined;
  };

  const before = groupByNode(await tx.limitsOn(nodeIds));
  const asked = applicants.flatMap(({ asks }) => asks).filter((ask) => unknownIn(ask) === undefined);
  const charged = byId(asked.flatMap((ask) => applicable(ask, before)));
  const walletIds = unique(asked.flatMap(walletsOf));
  const reports = applicants.flatMap(({ reports }) => reports);
  const locked = await lockShelves(tx, [...charged.values()], walletIds, reports, nodeIds, nowMs);
  const { shelves, limits, money, freshness } = locked;

  const freed = bookReports(applicants, shelves);
  const claims = applicants.map(({ holder, asks }) =>
    asks.map((ask) => unknownIn(ask) ?? claimOf(holder, ask, limits, shelves)),
  );
  const claimed = claims.flat().filter((claim) => typeof claim !== "string");
  const ledger = new Ledger(shelves, locked.nowMs);
  const allocations = allocate(
    claimed.map(({ enforced }) => enforced),
    enforcedBuckets(shelves, claimed, limits),
  ).values();
  const shares = applicants.map((applicant, i) =>
    ledger.share(applicant, claims[i]!, () => allocations.next().value!),
  );
  await tx.write({ ...ledger.changes(), freedLimitIds: freed });
  const limitsByNode = new Map(nodeIds.map((id) => [id, limits.get(id) ?? []]));
  return { shares, limits: limitsByNode, money, freshness, endedHolders };
}

async function lockShelves(
  tx: LeaseTx,
  charged: readonly Limit[],
  walletIds: readonly string[],
  reports: readonly RateReport[],
  nodeIds: readonly string[],
  nowMs: number,
) {
  const quotas = new Map(charged.filter(isQuota).map((limit) => [limitIdOf(limit.id), limit]));
  const shares = charged.flatMap(({ id, shares = [] }) =>
    shares.flatMap(({ nodeId }) =>
      partOf(limitIdOf(id), nodeId) === id ? { limitId: limitIdOf(id), nodeId } : [],
    ),
  );
  const windowOf = (id: string) => windowAt(quotas.get(id)!.allowance, nowMs);
  const quotaRows = quotas.size === 0 ? [] : await tx.lockQuotas([...quotas.keys()], nowMs, windowOf, shares);
  const rateIds = charged.filter(isRate).map(({ id }) => id);
  const leaseIds = reports.map(({ leaseId }) => leaseId);
  // The leases that were lost with the state can be spent until then.
  const lost = rate.openEmpty({ units: 1, intervalMs: 1, burst: 0 }, nowMs + MOST_LIFE_MS);
  const rateRows = rateIds.length + leaseIds.length === 0 ? [] : await tx.lockRates(rateIds, leaseIds, lost);
  const walletRows = walletIds.length === 0 ? [] : await tx.lockWallets(walletIds);

  const lockedIds = [...quotaRows, ...rateRows].map(({ limitId }) => limitId);
  const now = await tx.limitsAtHead(nodeIds, lockedIds);
  const current = byId(now.limits);
  const bucketIds = quotaRows.map(({ id }) => id);
  const noBuckets = bucketIds.length === 0;
  const forfeited = noBuckets
    ? new Map<string, number>()
    : await tx.forfeitQuotaLeases(bucketIds, now.nowMs - FORFEIT_GRACE_MS);
  const held = noBuckets ? [] : await tx.heldOfQuotas(bucketIds);
  const lent = walletRows.length === 0 ? [] : await tx.heldOfWallets(walletIds, now.nowMs - FORFEIT_GRACE_MS);
  const rateLeases = rateRows.length === 0 ? [] : await tx.rateLeases(rateRows.map(({ limitId }) => limitId));

  const heldBy = Map.groupBy(held, ({ limitId }) => limitIdOf(limitId));
  const leasesBy = Map.groupBy(rateLeases, ({ limitId }) => limitId);
  const lentOf = Map.groupBy(lent, ({ limitId }) => limitId);
  const shelves = new Map<string, Shelf>();
  for (const [limitId, rows] of Map.groupBy(quotaRows, (row) => row.limitId)) {
    const limit = current.get(limitId);
    if (limit === undefined || !isQuota(limit)) continue;
    const bucket = new QuotaBucket(limit, rows, heldBy.get(limitId) ?? [], forfeited, now.nowMs);
    for (const shelf of bucket.shelves) shelves.set(shelf.limitId, shelf);
  }
  for (const { limitId, state } of rateRows) {
    const limit = current.get(limitId);
    if (limit === undefined || !isRate(limit)) continue;
    const of = leasesBy.get(limitId) ?? [];
    shelves.set(limitId, new RateShelf(limitId, limit.allowance, state, of, now.nowMs));
  }
  for (const row of walletRows) shelves.set(row.id, new WalletShelf(row, lentOf.get(row.id) ?? []));
  const { freshness, money } = now;
  return { shelves, limits: groupByNode(now.limits), money, freshness, nowMs: now.nowMs };
}

function bookReports(applicants: readonly Applicant[], shelves: Shelves): string[] {
  const freed = new Set<string>();
  const rates = [...shelves.values()].filter((shelf) => shelf instanceof RateShelf);
  const byLease = new Map(rates.flatMap((shelf) => shelf.leaseIds.map((id) => [id, shelf])));
  for (const { holder, reports } of applicants) {
    for (const report of reports) {
      const shelf = byLease.get(report.leaseId);
      if (shelf?.report(holder, report)) freed.add(shelf.limitId);
    }
  }
  return [...freed];
}

function claimOf(
  holder: string,
  ask: Ask,
  limits: ReadonlyMap<string, readonly Limit[]>,
  shelves: Shelves,
): AskClaim {
  const mine = applicable(ask, limits).filter(({ id }) => shelves.has(id));
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

function needFrom(ask: Ask, id: string, units: number) {
  const want = ask.wants.get(id);
  const need = Math.max(units - (want?.held ?? 0), 0);
  return { bucket: id, need, want: want?.units ?? boundedProduct(need, DEFAULT_WANT_NEEDS) };
}

function enforcedBuckets(
  shelves: Shelves,
  claims: readonly AskClaim[],
  limits: ReadonlyMap<string, readonly Limit[]>,
) {
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

/**
 * The limits that a call is charged to, and those that the holder wants more of ahead of calls. One that it wants
 * 0 of is left out: it has what the call needs in hand, which nobody here can know, and lacks something else.
 * Without that, a bucket lent to the asking holder alone would refuse it for want of units that it holds.
 */
function applicable(ask: Ask, limits: ReadonlyMap<string, readonly Limit[]>): Limit[] {
  const concerns = (limit: Limit) => {
    const want = ask.wants.get(limit.id);
    return want === undefined ? needOn(limit, ask) !== undefined : want.units > 0;
  };
  const onNode = (id: string) => (limits.get(id) ?? []).map((limit) => asPart(limit, ask.nodeIds));
  return ask.nodeIds.flatMap((id) => onNode(id).filter(concerns));
}

/** The wallets that a call draws on, or that the holder wants more of, as with limits. */
function walletsOf({ walletNeeds, wants }: Ask): string[] {
  const wanted = [...wants.keys()].filter(isWalletId);
  return unique([...walletNeeds.keys(), ...wanted]).filter((id) => wants.get(id)?.units !== 0);
}

function needOn(limit: Limit, { needs, resource }: Ask): number | undefined {
  const units = needs.get(limit.meter);
  return units !== undefined && countsResource(limit, resource) ? units : undefined;
}

function byId(limits: readonly Limit[]): ReadonlyMap<string, Limit> {
  return new Map(limits.map((limit) => [limit.id, limit]));
}

function groupByNode(limits: readonly Limit[]): ReadonlyMap<string, readonly Limit[]> {
  return Map.groupBy(limits, ({ node }) => node.id);
}

function boundedProduct(a: number, b: number): number {
  return Math.min(a * b, Number.MAX_SAFE_INTEGER);
}

function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}
