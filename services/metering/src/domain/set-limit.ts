import type { KeyView } from "@gatehouse/access";
import { rate } from "@gatehouse/buckets";
import { isId, mintId } from "@gatehouse/keys";
import { Failure, failedPrecondition, invalid, notFound, type Violation } from "@gatehouse/service/failure";
import { actorOf } from "./actor.ts";
import { isKnownMeter } from "./known-meter.ts";
import { identityOf, type Limit, type LimitTerms, lowers, MAX_LIMITS_PER_NODE, REQUESTS } from "./limit.ts";
import { type LimitDraft, readDraft } from "./limit-draft.ts";
import type { LimitStore, LimitTx } from "./limit-store.ts";
import type { Mirror } from "./mirror.ts";
import {
  knownNodeInReach,
  type NodeName,
  nameViolations,
  nodeInReach,
  nodeViolations,
  type ReachedNode,
  requireCeilingOf,
} from "./node-in-reach.ts";
import { keepShare, lockForShare, type WantedShare, wantedShare } from "./reserve-share.ts";

export interface LimitDependencies {
  /** Fresh: see FreshMirror. */
  readonly mirror: Mirror;
  readonly store: LimitStore;
}

/**
 * Sets a limit; the same identity again changes it and keeps what was used. A changed zone or anchor moves no
 * bounds that are written down: the bucket of the running window goes on until its end, and what comes next has
 * the new bounds.
 * Throws Failure INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED (OWN_CEILING), RESOURCE_EXHAUSTED (PLAN_LIMIT).
 */
export async function setLimit(
  { mirror, store }: LimitDependencies,
  caller: KeyView,
  named: NodeName | undefined,
  draft: LimitDraft,
): Promise<{ limit: Limit; freshness: string }> {
  const terms = await checkedTerms(mirror, named, draft);
  const node = await nodeInReach(mirror, caller, named);
  requireCeilingOf(caller, node);
  const share = await wantedShare(store, caller, node, terms, draft.reservedShare ?? 0);
  const [before] = await store.sameOn([node.id], terms);
  const had = before?.reserved && (await store.find(before.reserved.of));
  const nodeIds = new Set([node.id, ...[share?.above, had].flatMap((above) => above?.node.id ?? [])]);
  const { value: limit, freshness } = await store.mutate([...nodeIds], actorOf(caller), (tx) =>
    put(tx, node, terms, share, nodeIds),
  );
  return { limit, freshness };
}

/**
 * Takes a limit away; where the organization's plan has the same, the plan's is in its place.
 * Throws Failure INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED (OWN_CEILING), FAILED_PRECONDITION (IN_USE) for one
 * that comes from the plan.
 */
export async function deleteLimit(
  { mirror, store }: LimitDependencies,
  caller: KeyView,
  limitId: string,
): Promise<{ freshness: string }> {
  const { limit: known, node } = await limitInReach({ mirror, store }, caller, limitId);
  const above = known.reserved && (await store.find(known.reserved.of));
  const nodeIds = new Set([node.id, ...(above === undefined ? [] : [above.node.id])]);
  const { freshness } = await store.mutate([...nodeIds], actorOf(caller), async (tx) => {
    const limit = await tx.find(limitId);
    if (limit === undefined) throw notFound("limit");
    if (limit.source === "PLAN") {
      throw failedPrecondition("IN_USE", "the limit comes from the organization's plan");
    }
    await lockForShare(tx, limit, undefined);
    await keepShare(tx, limit, undefined, nodeIds);
    const after = await takeAway(tx, node, limit);
    await tx.audit({ action: "gatehouse.limits.delete", limitId, before: limit, after });
  });
  return { freshness };
}

/**
 * A limit that the caller may change, with its node.
 * Throws Failure INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED (OWN_CEILING).
 */
export async function limitInReach(
  { mirror, store }: LimitDependencies,
  caller: KeyView,
  limitId: string,
): Promise<{ limit: Limit; node: ReachedNode }> {
  const required = { field: "limit", description: "is required" };
  const violations = limitId === "" ? [required] : nameViolations("limit", limitId);
  if (violations.length > 0) throw invalid(violations);
  const limit = isId("lim", limitId) ? await store.find(limitId) : undefined;
  // The node of a limit that is not there is looked for all the same: the way must not be shorter.
  const node = await knownNodeInReach(mirror, caller, limit?.node ?? { kind: "ACCOUNT", id: limitId });
  if (limit === undefined || node === undefined) throw notFound("limit");
  requireCeilingOf(caller, node);
  return { limit, node };
}

async function checkedTerms(
  mirror: Mirror,
  named: NodeName | undefined,
  draft: LimitDraft,
): Promise<LimitTerms> {
  const { terms, violations } = readDraft(draft);
  const more: Violation[] = [...nodeViolations(named), ...violations];
  if (named === undefined) more.unshift({ field: "account", description: "an account or a key is required" });
  if (!(await isKnownMeter(mirror, draft.meter || REQUESTS))) {
    more.push({ field: "meter", description: "no such meter" });
  }
  if (terms === undefined || more.length > 0) throw invalid(more);
  return terms;
}

async function put(
  tx: LimitTx,
  node: ReachedNode,
  terms: LimitTerms,
  share: WantedShare | undefined,
  alone: ReadonlySet<string>,
): Promise<Limit> {
  const before = await tx.same(node, terms);
  if (before?.source !== "OWN") await requireRoom(tx, node);
  await lockForShare(tx, before, share);
  const limit = before === undefined ? await create(tx, node, terms) : await change(tx, before, "OWN", terms);
  const after = await keepShare(tx, limit, share, alone);
  await tx.audit({ action: "gatehouse.limits.set", limitId: after.id, before, after });
  return after;
}

async function requireRoom(tx: LimitTx, node: ReachedNode): Promise<void> {
  if ((await tx.countOwn(node)) >= MAX_LIMITS_PER_NODE) {
    throw new Failure({
      code: "RESOURCE_EXHAUSTED",
      reason: "PLAN_LIMIT",
      message: `a node has at most ${MAX_LIMITS_PER_NODE} limits`,
    });
  }
}

async function create(tx: LimitTx, node: ReachedNode, terms: LimitTerms): Promise<Limit> {
  const limit = await tx.insert(mintId("lim"), node, terms);
  // A new rate starts full; a missing row would pass for a lost one, which starts empty.
  if (terms.allowance.kind === "RATE") {
    await tx.writeRateState(limit.id, rate.open(terms.allowance, await tx.nowMs()));
  }
  return limit;
}

async function takeAway(tx: LimitTx, node: ReachedNode, limit: Limit): Promise<Limit | undefined> {
  const ofPlan = (await tx.planTerms(node)).find((terms) => identityOf(terms) === identityOf(limit));
  if (ofPlan !== undefined) return change(tx, limit, "PLAN", ofPlan);
  // Before the rows go: the recall finds its holders in them.
  await tx.recall(limit.id);
  await tx.remove(limit.id);
  return undefined;
}

async function change(
  tx: LimitTx,
  before: Limit,
  source: Limit["source"],
  terms: LimitTerms,
): Promise<Limit> {
  const state = await tx.rateState(before.id);
  if (state !== undefined && before.allowance.kind === "RATE" && terms.allowance.kind === "RATE") {
    const resized = rate.resize(state, before.allowance, terms.allowance, await tx.nowMs());
    await tx.writeRateState(before.id, resized);
  }
  const after = await tx.update(before.id, source, terms);
  if (after === undefined) throw notFound("limit");
  // What is lent already was lent under the old terms; called back, it is lent anew under these.
  if (lowers(before, after)) await tx.recall(before.id);
  return after;
}
