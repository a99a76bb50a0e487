import type { KeyKind } from "@gatehouse/access";
import { Failure, failedPrecondition } from "@gatehouse/service/failure";
import type { Account, Chain } from "../accounts/account.ts";
import type { PlanFeature } from "../definitions/definition.ts";
import { planOf } from "../definitions/plan.ts";
import type { Change } from "../store.ts";

/** Whoever creates an account below an organization, or an organization, holds this exclusively. */
export function accountsGate(parent: Account): string {
  return `accounts:${parent.organizationId ?? parent.id}`;
}

/**
 * Whoever adds an enabled key to an account holds this exclusively. It is not the account's own gate: that one
 * every key of the account relies on, and they would all stand in line behind each minting.
 */
export function keysGate(accountId: string): string {
  return `keys:${accountId}`;
}

/** Throws Failure PLAN_DEPTH or PLAN_LIMIT where the plan has no room for an account below `parent`. */
export async function requireRoomForAccount(change: Change, parent: Chain): Promise<void> {
  const { organizationId } = parent[0];
  if (organizationId === undefined) return;
  const plan = (await planOf(change, parent))!;
  // The chain counts the root and the organization too; the new account is one further down.
  if (parent.length - 1 > plan.depth) {
    throw failedPrecondition("PLAN_DEPTH", `plan ${plan.name} nests accounts ${plan.depth} deep`);
  }
  if ((await change.accounts.countBelow(organizationId)) >= plan.accounts) {
    throw used(organizationId, `plan ${plan.name} has ${plan.accounts} accounts`);
  }
}

/** Throws Failure PLAN_LIMIT where the plan has no room for so many more enabled keys of the kind. */
export async function requireRoomForKey(
  change: Change,
  owner: Chain,
  kind: KeyKind,
  count = 1,
): Promise<void> {
  const plan = await planOf(change, owner);
  if (plan === undefined) return;
  const [account] = owner;
  const enabled = await change.keys.countEnabled(account.id);
  if (kind === "SUB" && enabled.subKeys + count > plan.subKeysPerAccount) {
    throw used(account.id, `plan ${plan.name} has ${plan.subKeysPerAccount} enabled sub-keys per account`);
  }
  if (kind !== "SUB" && enabled.keys + count > plan.keysPerAccount) {
    throw used(account.id, `plan ${plan.name} has ${plan.keysPerAccount} enabled keys per account`);
  }
}

/** Throws Failure PLAN_FEATURE where the plan does not have the feature. */
export async function requireFeature(
  change: Pick<Change, "definitions">,
  owner: Chain,
  feature: PlanFeature,
): Promise<void> {
  const plan = await planOf(change, owner);
  if (plan === undefined || plan.features.includes(feature)) return;
  throw failedPrecondition("PLAN_FEATURE", `plan ${plan.name} does not have the feature ${feature}`);
}

/** Living keys are this many times the enabled ones that a plan has: else disabled ones would fill the table. */
const LIVING_PER_ENABLED = 10;

/** Throws Failure PLAN_LIMIT where an account has so many keys that are not revoked that it is to clean up first. */
export async function requireRoomForLivingKey(
  change: Change,
  owner: Chain,
  kind: KeyKind,
  count = 1,
): Promise<void> {
  const plan = await planOf(change, owner);
  if (plan === undefined) return;
  const [account] = owner;
  const living = await change.keys.countLiving(account.id);
  const [there, enabled, name] =
    kind === "SUB"
      ? [living.subKeys, plan.subKeysPerAccount, "sub-keys"]
      : [living.keys, plan.keysPerAccount, "keys"];
  const room = LIVING_PER_ENABLED * enabled;
  if (there + count <= room) return;
  throw used(account.id, `plan ${plan.name} has ${room} ${name} per account, disabled ones too`);
}

function used(accountId: string, description: string): Failure {
  const quota = [{ subject: `account:${accountId}`, description }];
  const message = `${description}; all are in use`;
  return new Failure({ code: "RESOURCE_EXHAUSTED", reason: "PLAN_LIMIT", message, quota });
}
