import { isProvider, type KeyView, type Principal } from "@gatehouse/access";
import { invalid, notFound } from "@gatehouse/service/failure";
import { isKnownMeter } from "./known-meter.ts";
import type { NodeRef } from "./limit.ts";
import type { Mirror } from "./mirror.ts";
import { knownNodeInReach, nodeInReach, type Reader, readerOf } from "./node-in-reach.ts";
import { type Page, pageOf } from "./page.ts";
import { stillPermitted } from "./still-permitted.ts";
import {
  type Group,
  type RowKey,
  readUsageDraft,
  type UsageDraft,
  type UsageQuery,
  writePageToken,
} from "./usage-query.ts";
import { outwards, readsMinutes, slicesOf } from "./usage-span.ts";

/** Whose usage: calls that acted on an account or its subtree, or calls made with a key. */
export interface UsageScope extends NodeRef {
  readonly descendants: boolean;
  /** Names of accounts and keys out of its reach are blank, whose rows are one. Undefined: all are shown. */
  readonly reader: Reader | undefined;
}

/** Usage of one group in one span of time. */
export interface UsageRow {
  readonly startMs: number;
  readonly meter: string;
  readonly groups: Readonly<Partial<Record<Group, string>>>;
  readonly units: bigint;
  /** In micros of the currency; what was given back is taken off. */
  readonly cost: bigint;
  /** Empty for units that were free: those of each currency have a row of their own. */
  readonly currency: string;
}

export interface UsageStore {
  /** From when on usage is kept by minute: what is older is known by quarter of an hour. -Infinity: nothing is. */
  minutesFromMs(): Promise<number>;
  /** Rows by time, meter, groups and currency, after `query.after`, at most `count`; all of one snapshot. */
  sum(scope: UsageScope, query: UsageQuery, count: number): Promise<readonly UsageRow[]>;
  /**
   * The rows of one query after another, as they are taken; all of one snapshot. Throws Failure UNAVAILABLE where they are
   * not, DEADLINE_EXCEEDED where that takes too long, and RESOURCE_EXHAUSTED for more than one at a time of an organization.
   */
  stream(
    organizationId: string,
    scope: UsageScope,
    queries: Iterable<UsageQuery>,
  ): AsyncIterable<readonly UsageRow[]>;
}

export interface UsageDependencies {
  /** Fresh: see FreshMirror. */
  readonly mirror: Mirror;
  readonly store: UsageStore;
  readonly nowMs: () => number;
}

/**
 * Sums usage. A subtree's sum is its rows' sum, so parent = own + Σ children whatever the window and the zone.
 * Throws Failure INVALID_ARGUMENT, NOT_FOUND.
 */
export async function queryUsage(
  dependencies: UsageDependencies,
  caller: KeyView,
  draft: UsageDraft,
): Promise<Page<UsageRow>> {
  const { scope, query } = await asked(dependencies, caller, draft);
  return pageOf(
    query,
    (count) => dependencies.store.sum(scope, query, count),
    (last) => writePageToken(keyOf(last, query)),
  );
}

/**
 * All the rows that pages of the query would have, without a page token. Long times are summed a month or a day after
 * the other: so there are rows at once, and no statement takes long. A reader may take hours, so that it may still read
 * is looked at again and again. Throws Failure INVALID_ARGUMENT, NOT_FOUND, UNAVAILABLE, DEADLINE_EXCEEDED,
 * RESOURCE_EXHAUSTED, and as any call of a key.
 */
export async function* exportUsage(
  dependencies: UsageDependencies,
  principal: Principal,
  draft: Omit<UsageDraft, "pageSize" | "pageToken">,
): AsyncGenerator<readonly UsageRow[]> {
  const { mirror, store, nowMs } = dependencies;
  const { scope, query } = await asked(dependencies, principal.view, {
    ...draft,
    pageSize: 0,
    pageToken: "",
  });
  const queries = slicesOf(query).map((span) => ({ ...query, ...span }));
  // An organization's, however many keys and subaccounts it has; or the provider's.
  const { chain } = principal.view;
  const organizationId = (chain.at(-2) ?? chain.at(-1)!).id;
  let checkedMs = performance.now();
  for await (const rows of store.stream(organizationId, scope, queries)) {
    if (performance.now() - checkedMs >= RECHECK_MS) {
      const caller = await stillPermitted(mirror, principal, "gatehouse.usage.read", nowMs());
      const reached = await knownNodeInReach(mirror, caller, scope);
      const isNarrower = scope.descendants && !readerOf(caller).seesBelow;
      if (reached === undefined || isNarrower) throw notFound(scope.kind === "KEY" ? "key" : "account");
      checkedMs = performance.now();
    }
    yield rows;
  }
}

/** As old as what the mirror says may be. */
const RECHECK_MS = 1000;

async function asked({ mirror, store, nowMs }: UsageDependencies, caller: KeyView, draft: UsageDraft) {
  const known = draft.meter === "" || (await isKnownMeter(mirror, draft.meter));
  const query = await answerable(store, readUsageDraft(draft, known, nowMs()));
  const { kind, id } = await nodeInReach(mirror, caller, draft.node);
  const reader = readerOf(caller);
  const { seesBelow } = reader;
  const seesAll = seesBelow && isProvider(caller);
  const scope = {
    kind,
    id,
    descendants: draft.descendants && seesBelow,
    reader: seesAll ? undefined : reader,
  };
  return { scope, query };
}

/** Before minutes are kept, times are rounded outwards to the quarter of an hour. Throws Failure INVALID_ARGUMENT. */
async function answerable(store: UsageStore, query: UsageQuery): Promise<UsageQuery> {
  if (!readsMinutes(query)) return query;
  const fromMs = await store.minutesFromMs();
  if (query.granularity === "MINUTE" && query.startMs < fromMs) {
    const description = `usage by minute is kept since ${new Date(fromMs).toISOString()}; ask by hour, day or month`;
    throw invalid([{ field: "start", description }]);
  }
  return { ...query, ...outwards(query, fromMs) };
}

function keyOf({ startMs, meter, groups, currency }: UsageRow, query: UsageQuery): RowKey {
  return [startMs, meter, ...query.groups.map((group) => groups[group]!), currency];
}
