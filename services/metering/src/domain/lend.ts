import { allocate, rate, windowAt } from "@gatehouse/buckets";
import { encodeFreshness } from "@gatehouse/changefeed";
import { bucketsOf, chargedTo, claimOf, type LimitsByNode, unknownIn, walletsOf } from "./claim.ts";
import type {
  Ask,
  LeaseStore,
  Locks,
  MissingRows,
  NodeMoney,
  RateReport,
  RoundChanges,
  Stock,
  Survey,
} from "./lease.ts";
import { FORFEIT_GRACE_MS, Ledger, type Share, type Shelves } from "./ledger.ts";
import { isQuota, isRate, type Limit, limitIdOf, partOf } from "./limit.ts";
import { MOST_LIFE_MS, RateShelf } from "./rate-shelf.ts";
import { shelvesOf } from "./shelves.ts";

/**
 * One round of lending: every ask that waits, in the order they came, in one transaction.
 *
 * A survey before it, outside of it, says which limits count and where their buckets are. These are locked and read in the
 * transaction, and the limits again where metering's log has moved since: changing a limit locks its bucket too, so
 * what was lowered meanwhile is seen lowered. A limit that came in between is in the answer but not among the leases,
 * and the holder, which checks again with what it got, asks for it.
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
  readonly limits: LimitsByNode;
  readonly money: ReadonlyMap<string, NodeMoney>;
  readonly freshness: string;
  /** Holders whose epochs have ended: they were lent nothing. */
  readonly endedHolders: ReadonlySet<string>;
  /** Units of holders that vanished: they count as spent now. */
  readonly forfeitedUnits: number;
}

/** A window may end before the survey that is to find it; of one that is not found the next round lends. */
const MAX_SURVEYS = 3;

export async function lend(store: LeaseStore, applicants: readonly Applicant[]): Promise<Round> {
  const nodeIds = unique(applicants.flatMap((applicant) => applicant.nodeIds));
  const { survey, charged } = await surveyOf(store, nodeIds, applicants);
  const locks = locksOf(survey, charged, applicants);
  if (locks.quotas.length + locks.rates.length + locks.wallets.length === 0) {
    return divide(applicants, survey, nothingLocked(survey)).round;
  }
  return store.transact(async (tx) => {
    const stock = await tx.lock(locks, { survey, nodeIds, graceMs: FORFEIT_GRACE_MS });
    const { round, changes } = divide(applicants, survey, stock);
    await tx.write(changes);
    return round;
  });
}

/** What is known, once all rows are there that the asks draw on; and the limits that they are charged to. */
async function surveyOf(store: LeaseStore, nodeIds: readonly string[], applicants: readonly Applicant[]) {
  const asks = applicants.flatMap((applicant) => applicant.asks);
  const names = {
    holders: unique(applicants.map(({ holder }) => holder)),
    nodeIds,
    meters: unique(asks.flatMap(({ needs }) => [...needs.keys()])),
    leaseIds: unique(applicants.flatMap(({ reports }) => reports.map(({ leaseId }) => leaseId))),
  };
  for (let surveys = 1; ; surveys++) {
    const survey = await store.survey(names);
    const limits = groupByNode(survey.terms.limits);
    const charged = byId(knownOf(asks, survey).flatMap((ask) => chargedTo(ask, limits)));
    const missing = missingIn(survey, charged);
    const isComplete = missing.windows.length + missing.shares.length + missing.rates.length === 0;
    if (isComplete || surveys === MAX_SURVEYS) return { survey, charged };
    await store.open(missing);
  }
}

function missingIn({ nowMs, quotas, rates }: Survey, charged: readonly Limit[]): MissingRows {
  const isThere = (limitId: string, nodeId: string) =>
    quotas.get(limitId)?.some(({ shareNode }) => shareNode === nodeId) ?? false;
  const byLimit = new Map(charged.filter(isQuota).map((limit) => [limitIdOf(limit.id), limit]));
  const windows = [...byLimit].map(([limitId, { allowance }]) => ({
    limitId,
    window: windowAt(allowance, nowMs),
  }));
  const shares = charged.flatMap(({ id, shares = [] }) => {
    const limitId = limitIdOf(id);
    const own = shares.filter(({ nodeId }) => partOf(limitId, nodeId) === id);
    return own.map(({ nodeId }) => ({ limitId, nodeId }));
  });
  // The leases that were lost with the state can be spent until then.
  const state = rate.openEmpty({ units: 1, intervalMs: 1, burst: 0 }, nowMs + MOST_LIFE_MS);
  return {
    atMs: nowMs,
    windows: windows.filter(({ limitId }) => !isThere(limitId, "")),
    shares: shares.filter(({ limitId, nodeId }) => !isThere(limitId, nodeId)),
    rates: charged
      .filter((limit) => isRate(limit) && !rates.has(limit.id))
      .map(({ id: limitId }) => ({ limitId, state })),
  };
}

function locksOf(survey: Survey, charged: readonly Limit[], applicants: readonly Applicant[]): Locks {
  const quotas = unique(charged.filter(isQuota).map(({ id }) => limitIdOf(id)));
  const asks = applicants.flatMap((applicant) => applicant.asks);
  return {
    holders: unique(applicants.map(({ holder }) => holder)),
    quotas: quotas.flatMap((id) => survey.quotas.get(id) ?? []).map(({ id }) => id),
    rates: unique([...charged.filter(isRate).map(({ id }) => id), ...survey.reported]),
    wallets: unique(knownOf(asks, survey).flatMap(walletsOf)),
  };
}

function nothingLocked({ nowMs, terms, endedHolders }: Survey): Stock {
  const none = { quotas: [], quotaLeases: [], rates: [], rateLeases: [], wallets: [], walletLeases: [] };
  return { nowMs, terms, endedHolders, ...none };
}

function divide(
  all: readonly Applicant[],
  survey: Survey,
  stock: Stock,
): { readonly round: Round; readonly changes: RoundChanges } {
  const { terms, nowMs, endedHolders } = stock;
  const applicants = all.map((applicant) =>
    endedHolders.has(applicant.holder) ? { ...applicant, asks: [], reports: [] } : applicant,
  );
  const limits = groupByNode(terms.limits);
  const shelves = shelvesOf(stock);
  const freedLimitIds = bookReports(applicants, shelves);
  const claims = applicants.map(({ holder, asks }) =>
    asks.map((ask) => unknownIn(ask, survey) ?? claimOf(holder, ask, limits, shelves)),
  );
  const claimed = claims.flat().filter((claim) => typeof claim !== "string");
  const ledger = new Ledger(shelves, nowMs);
  const allocations = allocate(
    claimed.map(({ enforced }) => enforced),
    bucketsOf(shelves, claimed, limits),
  ).values();
  const shares = applicants.map((applicant, i) =>
    ledger.share(applicant, claims[i]!, () => allocations.next().value!),
  );
  const round = {
    shares,
    limits: new Map(all.flatMap(({ nodeIds }) => nodeIds).map((id) => [id, limits.get(id) ?? []])),
    money: terms.money,
    freshness: encodeFreshness("metering", terms.position),
    endedHolders,
    forfeitedUnits: ledger.forfeitedUnits,
  };
  return { round, changes: { ...ledger.changes(), freedLimitIds } };
}

/** Says of which limits units came back. */
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

function knownOf(asks: readonly Ask[], survey: Survey): Ask[] {
  return asks.filter((ask) => unknownIn(ask, survey) === undefined);
}

function byId(limits: readonly Limit[]): Limit[] {
  return [...new Map(limits.map((limit) => [limit.id, limit])).values()];
}

function groupByNode(limits: readonly Limit[]): LimitsByNode {
  return Map.groupBy(limits, ({ node }) => node.id);
}

function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}
