import type { Principal } from "@gatehouse/access";
import { digestOf } from "../digest.ts";
import type { Domain } from "../domain.ts";
import { Fields } from "../fields.ts";
import { planGate } from "../rules/gates.ts";
import type { Change } from "../store.ts";
import { type Account, type Chain, type Profile, rootOf } from "./account.ts";
import { type ChangedAccount, changeAccount, requireStrictAncestor } from "./change-account.ts";
import { checkProfile } from "./check-profile.ts";
import { SLUG_PATTERN, SLUG_RULE } from "./slug.ts";

/** As the caller sent it; empty where it said nothing. */
export interface UpdateAccountRequest {
  readonly account: string;
  readonly plan: string;
  readonly profile: Profile | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly updateMask: readonly string[];
}

/**
 * Changes an account's profile and labels, and from the provider an organization's plan. A smaller plan takes nothing
 * away: what is in use stays, and grows again once there is room.
 */
export function updateAccount(
  domain: Domain,
  actor: Principal,
  request: UpdateAccountRequest,
): Promise<ChangedAccount> {
  const wanted = check(request);
  return changeAccount(domain, actor, {
    action: "gatehouse.accounts.update",
    name: request.account,
    permit: (target) => {
      if (wanted.plan !== undefined) requireMayPlan(actor, target);
    },
    reliesOn: wanted.plan === undefined ? [] : [planGate(wanted.plan)],
    become: async (target, change) => {
      const [before] = target;
      const { plan = before.plan, profile = before.profile, labels = before.labels } = wanted;
      const account: Account = { ...before, plan, profile, labels };
      if (digestOf(updatable(account)) === digestOf(updatable(before))) return before;
      if (plan !== before.plan) await requirePlan(change, [account, ...target.slice(1)]);
      return account;
    },
  });
}

/** Throws Failure INVALID_ARGUMENT where an organization is to have a plan that is not there. */
export async function requirePlan(change: Change, chain: Chain): Promise<void> {
  const fields = new Fields();
  const { plan } = chain[0];
  const found = await change.definitions.find("plan", rootOf(chain).id, plan);
  if (found === undefined) fields.wrong("plan", "is no plan");
  fields.check();
}

function check(request: UpdateAccountRequest) {
  const { account, plan, profile, labels, updateMask } = request;
  const fields = new Fields();
  fields.reference("account", account, { required: true });
  const given = [
    ...(plan === "" ? [] : ["plan"]),
    ...(profile === undefined ? [] : ["profile"]),
    ...(Object.keys(labels).length === 0 ? [] : ["labels"]),
  ];
  const changed = fields.mask(updateMask, ["plan", "profile", "labels"], given);
  const wanted = {
    plan: changed.has("plan") ? fields.pattern("plan", plan, SLUG_PATTERN, SLUG_RULE) : undefined,
    profile: changed.has("profile") ? checkProfile(fields, profile ?? {}) : undefined,
    labels: changed.has("labels") ? fields.labels("labels", labels) : undefined,
  };
  fields.check();
  return wanted;
}

function updatable({ plan, profile, labels }: Account) {
  return { plan, profile, labels };
}

function requireMayPlan(actor: Principal, target: Chain): void {
  const [{ id, organizationId }] = target;
  const fields = new Fields();
  if (id !== organizationId) {
    fields.wrong("plan", "is for organizations only; a subaccount has its organization's");
  }
  fields.check();
  requireStrictAncestor(actor, target, "change its plan");
}
