import type { KeyView } from "@gatehouse/access";
import { invalid } from "@gatehouse/service/failure";
import { isKnownMeter } from "./known-meter.ts";
import type { NodeRef } from "./limit.ts";
import type { Mirror } from "./mirror.ts";
import { nodeInReach } from "./node-in-reach.ts";
import {
  type Group,
  type RowKey,
  readUsageDraft,
  type UsageDraft,
  type UsageQuery,
  writePageToken,
} from "./usage-query.ts";
import { outwards, readsMinutes } from "./usage-span.ts";

/** Whose usage: calls that acted on an account or its subtree, or calls made with a key. */
export interface UsageScope extends NodeRef {
  readonly descendants: boolean;
}

/** Usage of one group in one span of time. */
export interface UsageRow {
  readonly startMs: number;
  readonly meter: string;
  readonly groups: Readonly<Partial<Record<Group, string>>>;
  readonly units: bigint;
}

export interface UsageStore {
  /** From when on usage is kept by minute: what is older is known by quarter of an hour. -Infinity: nothing is. */
  minutesFromMs(): Promise<number>;
  /** Rows by time, meter and groups, after `query.after`, at most `count`; all of one snapshot. */
  sum(scope: UsageScope, query: UsageQuery, count: number): Promise<readonly UsageRow[]>;
}

export interface UsageDependencies {
  /** Fresh: see FreshMirror. */
  readonly mirror: Mirror;
  readonly store: UsageStore;
  readonly nowMs: () => number;
}

export interface UsagePage {
  readonly rows: readonly UsageRow[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/**
 * Sums usage. A subtree's sum is its rows' sum, so parent = own + Σ children whatever the window and the zone.
 * Throws Failure INVALID_ARGUMENT, NOT_FOUND.
 */
export async function queryUsage(
  { mirror, store, nowMs }: UsageDependencies,
  caller: KeyView,
  draft: UsageDraft,
): Promise<UsagePage> {
  const known = draft.meter === "" || (await isKnownMeter(mirror, draft.meter));
  const query = await answerable(store, readUsageDraft(draft, known, nowMs()));
  const { kind, id } = await nodeInReach(mirror, caller, draft.node);
  const rows = await store.sum({ kind, id, descendants: draft.descendants }, query, query.pageSize + 1);
  const page = rows.slice(0, query.pageSize);
  const last = rows.length > query.pageSize ? page.at(-1)! : undefined;
  return { rows: page, nextPageToken: last === undefined ? "" : writePageToken(keyOf(last, query)) };
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

function keyOf({ startMs, meter, groups }: UsageRow, query: UsageQuery): RowKey {
  return [startMs, meter, ...query.groups.map((group) => groups[group]!)];
}
