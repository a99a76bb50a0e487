import { type KeyView, reaches } from "@gatehouse/access";
import { Pool, quota, rate, windowAt } from "@gatehouse/buckets";
import { isId } from "@gatehouse/keys";
import { invalid } from "@gatehouse/service/failure";
import {
  asPart,
  countsResource,
  isQuota,
  isRate,
  keptUnits,
  type Limit,
  limitIdOf,
  partOf,
  type QuotaLimit,
} from "./limit.ts";
import type { BucketReading, LimitScope, LimitStore, QuotaReading } from "./limit-store.ts";
import { type NodeName, nodeInReach, nodeViolations, type ReachedNode, readerOf } from "./node-in-reach.ts";
import { type Page, type PageDraft, pageOf, pageSizeViolations, TOKEN_VIOLATION } from "./page.ts";
import type { LimitDependencies } from "./set-limit.ts";

/** A bucket and what is in it. */
export interface Allowance {
  readonly limit: Limit;
  readonly used: number;
  readonly leased: number;
  /** Below zero after a lowered limit or late usage. */
  readonly remaining: number;
  /** What is left and kept for others. */
  readonly reservedForOthers: number;
  /** Of the same limits right below, all together; undefined where that is not the caller's to see. */
  readonly allocatedBelow?: bigint | undefined;
  /** Undefined for rates and quotas that never refill. */
  readonly resetsAtMs: number | undefined;
}

/**
 * The limits on one node, or on an account and all accounts and keys below it, oldest first: a page token is the last one's
 * id, so limits that are set or deleted meanwhile move no page. Throws Failure INVALID_ARGUMENT, NOT_FOUND.
 */
export async function listLimits(
  { mirror, store }: LimitDependencies,
  caller: KeyView,
  draft: PageDraft & { node: NodeName | undefined; descendants: boolean },
): Promise<Page<Limit>> {
  const { pageToken } = draft;
  const violations = [...nodeViolations(draft.node), ...pageSizeViolations(draft)];
  if (pageToken !== "" && !isId("lim", pageToken)) violations.push(TOKEN_VIOLATION);
  if (violations.length > 0) throw invalid(violations);
  const node = await nodeInReach(mirror, caller, draft.node);
  const scope = { nodeId: node.id, breadth: draft.descendants ? breadthOf(caller, node) : "NODE" } as const;
  return pageOf(
    draft,
    (count) => store.list(scope, pageToken, count),
    ({ id }) => id,
  );
}

function breadthOf(caller: KeyView, { kind, chain }: ReachedNode): LimitScope["breadth"] {
  if (kind === "KEY") return "NODE";
  if (!readerOf(caller).seesBelow) return "KEYS";
  return chain.length === 1 ? "ALL" : "BELOW";
}

/** Every bucket that binds a node and that the caller may see: the node's own first, then upwards. Throws Failure like listLimits. */
export async function getAllowance(
  { mirror, store }: LimitDependencies,
  caller: KeyView,
  named: NodeName | undefined,
): Promise<readonly Allowance[]> {
  const node = await nodeInReach(mirror, caller, named);
  const nodeIds = bindingNodes(caller, node);
  const allowances = allowancesOf(await store.readBuckets(nodeIds), nodeIds);
  if (caller.key.kind !== "MASTER" || caller.chain[0]?.isolated === true) return allowances;
  const onAccounts = allowances.filter(({ limit }) => limit.node.kind === "ACCOUNT");
  const below = await store.allocatedBelow([...new Set(onAccounts.map(({ limit }) => limit.node.id))]);
  return allowances.map((allowance) =>
    onAccounts.includes(allowance)
      ? { ...allowance, allocatedBelow: below.get(allowance.limit.id) ?? 0n }
      : allowance,
  );
}

/** A bucket that a call meets, and what of it is lent to one holder. */
export interface MetBucket extends Allowance {
  readonly leasedToHolder: number;
}

/** Every bucket that a call to the resource meets on these nodes, in their order; on behalf of a service, which sees all. */
export async function readBuckets(
  store: LimitStore,
  { nodeIds, resource, holder }: { nodeIds: readonly string[]; resource: string; holder: string },
): Promise<readonly MetBucket[]> {
  const { nowMs, buckets } = await store.readBuckets(nodeIds, holder);
  const met = buckets
    .filter(({ limit }) => countsResource(limit, resource))
    .map((bucket) => ({ ...bucket, limit: asPart(bucket.limit, nodeIds) }));
  return allowancesOf({ nowMs, buckets: met }, nodeIds);
}

function allowancesOf(
  { nowMs, buckets }: { readonly nowMs: number; readonly buckets: readonly BucketReading[] },
  nodeIds: readonly string[],
): MetBucket[] {
  const byNode = Map.groupBy(buckets, ({ limit }) => limit.node.id);
  return nodeIds.flatMap((id) =>
    (byNode.get(id) ?? []).map((bucket) => ({
      ...allowanceOf(bucket, nowMs, nodeIds),
      leasedToHolder: bucket.leasedToHolder,
    })),
  );
}

function bindingNodes(caller: KeyView, node: ReachedNode): string[] {
  const accounts = node.chain.filter((_, i) => reaches(caller, node.chain.slice(i))).map(({ id }) => id);
  if (node.kind === "ACCOUNT") return accounts;
  const { parentKeyId } = node.view.key;
  return [node.id, ...(parentKeyId === undefined ? [] : [parentKeyId]), ...accounts];
}

/** What a bucket has, as its rows say, for calls that are charged to these nodes. */
export function allowanceOf(
  { limit, quota: window, rate: state }: BucketReading,
  nowMs: number,
  nodeIds: readonly string[] = [],
): Allowance {
  if (isRate(limit)) {
    const now = state && rate.refill(state, limit.allowance, nowMs);
    // A bucket whose state was lost has nothing to give until an acquire opens it anew.
    const [remaining, leased] = [now?.available ?? 0, now?.leased ?? 0];
    const used = Math.max(0, limit.allowance.burst - remaining - leased);
    return { limit, used, leased, remaining, resetsAtMs: undefined, reservedForOthers: 0 };
  }
  if (!isQuota(limit)) throw new Error("a limit is a rate or a quota");
  const { spent = 0, leased = 0 } = window ?? {};
  const endMs = window === undefined ? finite(windowAt(limit.allowance, nowMs).endMs) : window.endMs;
  const { id } = asPart(limit, nodeIds);
  const pool = new Pool(
    quota.available({ units: limit.allowance.units, spent, leased }),
    keptOf(limit, window),
  );
  const [remaining, reservedForOthers] = [pool.availableTo(id), pool.keptFromOthers(id)];
  return { limit, used: spent, leased, remaining, reservedForOthers, resetsAtMs: endMs };
}

function keptOf({ id, allowance, shares = [] }: QuotaLimit, window: QuotaReading | undefined) {
  return new Map(
    shares.map((share) => {
      const drawn = window?.drawnOfShares?.get(share.nodeId) ?? 0;
      return [partOf(limitIdOf(id), share.nodeId), Math.max(0, keptUnits(share, allowance.units) - drawn)];
    }),
  );
}

function finite(ms: number): number | undefined {
  return Number.isFinite(ms) ? ms : undefined;
}
