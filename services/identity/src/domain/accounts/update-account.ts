import { isStrictAncestor, type Principal } from "@gatehouse/access";
import { digestOf } from "../digest.ts";
import type { Domain } from "../domain.ts";
import { Fields } from "../fields.ts";
import { checkAhead } from "../rules/check-ahead.ts";
import { findAccount } from "../rules/find-in-reach.ts";
import { planGate } from "../rules/gates.ts";
import type { Reads } from "../store.ts";
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
  const fields = new Fields();
  const wanted = read(fields, request);
  return changeAccount(domain, actor, {
    check: () =>
      checkAhead(actor, fields, () => judgeAhead(fields, domain, actor, request.account, wanted.plan)),
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
      if (plan !== before.plan) await judgePlan(fields, change, target, plan);
      fields.check();
      return account;
    },
  });
}

/** Says where an organization is to have a plan that is not there. */
export async function judgePlan(
  fields: Fields,
  reads: Pick<Reads, "definitions">,
  chain: Chain,
  plan: string,
): Promise<void> {
  if (fields.isWrong("plan")) return;
  const found = await reads.definitions.find("plan", rootOf(chain).id, plan);
  if (found === undefined) fields.wrong("plan", "is no plan");
}

/** Says where an account is none that has a plan of its own. */
export function judgeHasPlan(fields: Fields, isOrganization: boolean): void {
  if (isOrganization) return;
  fields.wrong("plan", "is for organizations only; a subaccount has its organization's");
}

function read(fields: Fields, request: UpdateAccountRequest) {
  const { account, plan, profile, labels, updateMask } = request;
  fields.reference("account", account, { required: true });
  const given = [
    ...(plan === "" ? [] : ["plan"]),
    ...(profile === undefined ? [] : ["profile"]),
    ...(Object.keys(labels).length === 0 ? [] : ["labels"]),
  ];
  const changed = fields.mask(updateMask, ["plan", "profile", "labels"], given);
  return {
    plan: changed.has("plan") ? fields.pattern("plan", plan, SLUG_PATTERN, SLUG_RULE) : undefined,
    profile: changed.has("profile") ? checkProfile(fields, profile ?? {}) : undefined,
    labels: changed.has("labels") ? fields.labels("labels", labels) : undefined,
  };
}

function updatable({ plan, profile, labels }: Account) {
  return { plan, profile, labels };
}

async function judgeAhead(
  fields: Fields,
  { store }: Domain,
  actor: Principal,
  name: string,
  plan: string | undefined,
): Promise<void> {
  if (plan === undefined || fields.isWrong("account")) return;
  const target = await findAccount(store, actor, name);
  judgeHasPlan(fields, isOrganization(target));
  if (isStrictAncestor(actor.view, target)) await judgePlan(fields, store, target, plan);
}

function isOrganization([{ id, organizationId }]: Chain): boolean {
  return id === organizationId;
}

function requireMayPlan(actor: Principal, target: Chain): void {
  const fields = new Fields();
  judgeHasPlan(fields, isOrganization(target));
  fields.check();
  requireStrictAncestor(actor, target, "change its plan");
}
