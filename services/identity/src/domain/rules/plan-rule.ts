import type { KeyKind } from "@gatehouse/access";
import { Failure, failedPrecondition } from "@gatehouse/service/failure";
import type { Account, Chain } from "../accounts/account.ts";
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

/** Living keys are this many times the enabled ones that a plan has: else disabled ones would fill the table. */
const LIVING_PER_ENABLED = 10;

/** Throws Failure PLAN_LIMIT where the plan has no room for one more enabled key of the kind. */
export async function requireRoomForEnabled(change: Change, owner: Chain, kind: KeyKind): Promise<void> {
  const room = await roomOf(change, owner, kind);
  if (room !== undefined) requireEnabled(room, 1);
}

/**
 * Throws Failure PLAN_LIMIT where the plan has no room for so many new keys of the kind, or the account has so many
 * that are not revoked that it is to clean up first.
 */
export async function requireRoomForKeys(
  change: Change,
  owner: Chain,
  kind: KeyKind,
  count = 1,
): Promise<void> {
  const room = await roomOf(change, owner, kind);
  if (room === undefined) return;
  requireEnabled(room, count);
  const { accountId, plan, name, maximum, living } = room;
  const most = LIVING_PER_ENABLED * maximum;
  if (living + count <= most) return;
  throw used(accountId, `plan ${plan} has ${most} ${name} per account, disabled ones too`);
}

/** What of the plan the keys of a kind take; undefined for the root, which has no plan. */
async function roomOf(change: Change, owner: Chain, kind: KeyKind) {
  const plan = await planOf(change, owner);
  if (plan === undefined) return undefined;
  const [{ id: accountId }] = owner;
  const counted = await change.keys.count(accountId);
  const of = { accountId, plan: plan.name };
  return kind === "SUB"
    ? { ...of, ...counted.subKeys, name: "sub-keys", maximum: plan.subKeysPerAccount }
    : { ...of, ...counted.keys, name: "keys", maximum: plan.keysPerAccount };
}

type Room = NonNullable<Awaited<ReturnType<typeof roomOf>>>;

function requireEnabled({ accountId, plan, name, maximum, enabled }: Room, count: number): void {
  if (enabled + count <= maximum) return;
  throw used(accountId, `plan ${plan} has ${maximum} enabled ${name} per account`);
}

function used(accountId: string, description: string): Failure {
  const quota = [{ subject: `account:${accountId}`, description }];
  const message = `${description}; all are in use`;
  return new Failure({ code: "RESOURCE_EXHAUSTED", reason: "PLAN_LIMIT", message, quota });
}
