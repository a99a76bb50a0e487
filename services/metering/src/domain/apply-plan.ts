import { type RateState, rate } from "@gatehouse/buckets";
import { mintId } from "@gatehouse/keys";
import { identityOf, type Limit, type LimitTerms, lowers } from "./limit.ts";

/**
 * Brings the limits of organizations in line with their plans.
 *
 * What a plan gives is a limit on the organization like any other, so that whoever lends, recalls and shows limits
 * knows nothing of plans. One with the same identity stays the same limit with the same bucket, whatever it was
 * before: of this plan, of the plan before, or set on the organization and taken away. So what was used stays used.
 * A limit that is set on the organization stands in the place of the plan's and is left alone.
 */
export interface OrganizationPlan {
  readonly accountId: string;
  readonly terms: readonly LimitTerms[];
}

export interface NewPlanLimit {
  readonly id: string;
  readonly accountId: string;
  readonly terms: LimitTerms;
}

/** What becomes of the limits of some organizations. */
export interface PlanChanges {
  readonly added: readonly NewPlanLimit[];
  readonly changed: readonly { readonly limit: Limit; readonly terms: LimitTerms }[];
  readonly removed: readonly Limit[];
}

export interface PlanTx {
  nowMs(): Promise<number>;
  /** Those that do not have the limits of their plan, as long as the transaction runs alone to change them. */
  outdated(): Promise<readonly OrganizationPlan[]>;
  limitsOf(accountIds: readonly string[]): Promise<readonly Limit[]>;
  /** Locks the limits' buckets; answers the states of rates, but for those that were lost. */
  lockBuckets(limitIds: readonly string[]): Promise<ReadonlyMap<string, RateState>>;
  /** Tells every holder to close its leases of the limits, once this has committed. */
  recall(limitIds: readonly string[]): Promise<void>;
  write(changes: PlanChanges, rateStates: ReadonlyMap<string, RateState>): Promise<void>;
}

/** Answers how many organizations have the limits of their plan now that did not before. */
export async function applyPlans(tx: PlanTx): Promise<number> {
  const organizations = await tx.outdated();
  if (organizations.length === 0) return 0;
  const limits = await tx.limitsOf(organizations.map(({ accountId }) => accountId));
  const changes = changesOf(organizations, limits);
  const { added, changed, removed } = changes;
  const states = await tx.lockBuckets([
    ...changed.map(({ limit }) => limit.id),
    ...removed.map(({ id }) => id),
  ]);
  // Before the rows go: the recall finds its holders in them.
  const lowered = changed.filter(({ limit, terms }) => lowers(limit, terms)).map(({ limit }) => limit.id);
  await tx.recall([...lowered, ...removed.map(({ id }) => id)]);
  await tx.write(changes, nextStates(added, changed, states, await tx.nowMs()));
  return organizations.length;
}

function changesOf(organizations: readonly OrganizationPlan[], limits: readonly Limit[]): PlanChanges {
  const onAccount = Map.groupBy(limits, ({ node }) => node.id);
  const added: NewPlanLimit[] = [];
  const changed: { limit: Limit; terms: LimitTerms }[] = [];
  const removed: Limit[] = [];
  for (const { accountId, terms } of organizations) {
    const there = new Map((onAccount.get(accountId) ?? []).map((limit) => [identityOf(limit), limit]));
    for (const wanted of terms) {
      const limit = there.get(identityOf(wanted));
      there.delete(identityOf(wanted));
      if (limit === undefined) added.push({ id: mintId("lim"), accountId, terms: wanted });
      else if (limit.source === "PLAN" && !sameTerms(limit, wanted)) changed.push({ limit, terms: wanted });
    }
    removed.push(...there.values().filter(({ source }) => source === "PLAN"));
  }
  return { added, changed, removed };
}

/** A new rate starts full; one that changes keeps what is gone of it. */
function nextStates(
  added: PlanChanges["added"],
  changed: PlanChanges["changed"],
  states: ReadonlyMap<string, RateState>,
  nowMs: number,
): ReadonlyMap<string, RateState> {
  const next = new Map<string, RateState>();
  for (const { id, terms } of added) {
    if (terms.allowance.kind === "RATE") next.set(id, rate.open(terms.allowance, nowMs));
  }
  for (const { limit, terms } of changed) {
    const state = states.get(limit.id);
    if (state === undefined || limit.allowance.kind !== "RATE" || terms.allowance.kind !== "RATE") continue;
    next.set(limit.id, rate.resize(state, limit.allowance, terms.allowance, nowMs));
  }
  return next;
}

function sameTerms(a: LimitTerms, b: LimitTerms): boolean {
  if (a.enforcement !== b.enforcement || a.allowance.units !== b.allowance.units) return false;
  if (a.allowance.kind === "RATE") return a.allowance.burst === (b.allowance as typeof a.allowance).burst;
  const other = b.allowance as typeof a.allowance;
  return a.allowance.timeZone === other.timeZone && a.allowance.anchorMs === other.anchorMs;
}
