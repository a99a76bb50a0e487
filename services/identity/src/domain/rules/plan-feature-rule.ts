import { builtInRoles, type KeyKind } from "@gatehouse/access";
import { failedPrecondition } from "@gatehouse/service/failure";
import type { Chain } from "../accounts/account.ts";
import type { PlanFeature } from "../definitions/definition.ts";
import { planOf } from "../definitions/plan.ts";
import type { Reads } from "../store.ts";

/** What somebody wants a key to have that it has not. */
export interface NewlyOfKey {
  readonly kind?: KeyKind;
  readonly roles?: readonly string[];
  readonly scopes?: readonly string[];
  readonly endpoints?: readonly unknown[];
  readonly signing?: unknown;
}

/**
 * Throws Failure PLAN_FEATURE where the plan of the key's organization does not have what the key is to have newly.
 * What keys have already stays theirs when a plan loses a feature.
 */
export async function requireFeatures(
  reads: Pick<Reads, "definitions">,
  owner: Chain,
  newly: NewlyOfKey,
): Promise<void> {
  for (const feature of featuresOf(newly)) await requireFeature(reads, owner, feature);
}

/** Throws Failure PLAN_FEATURE where the plan of the organization does not have the feature. */
export async function requireFeature(
  reads: Pick<Reads, "definitions">,
  owner: Chain,
  feature: PlanFeature,
): Promise<void> {
  const plan = await planOf(reads, owner);
  if (plan === undefined || plan.features.includes(feature)) return;
  throw failedPrecondition("PLAN_FEATURE", `plan ${plan.name} does not have the feature ${feature}`);
}

function featuresOf({ kind, roles = [], scopes = [], endpoints = [], signing }: NewlyOfKey): PlanFeature[] {
  const scoped = scopes.length > 0 || endpoints.length > 0 || roles.some((role) => !builtInRoles.has(role));
  return [
    ...(kind === "SUB" ? (["SUB_KEYS"] as const) : []),
    ...(signing === undefined ? [] : (["SIGNING"] as const)),
    ...(scoped ? (["SCOPING"] as const) : []),
  ];
}
