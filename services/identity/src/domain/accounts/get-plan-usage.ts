import { type Principal, reaches } from "@gatehouse/access";
import { planOf } from "../definitions/plan.ts";
import type { Domain } from "../domain.ts";
import { Fields } from "../fields.ts";
import { findAccount } from "../rules/find-in-reach.ts";
import type { Account, Chain } from "./account.ts";

/** Used may be above the maximum, after a change to a smaller plan. */
export interface PlanCount {
  readonly used: number;
  readonly maximum: number;
}

export interface PlanUsage {
  readonly plan: string;
  /** Of the whole organization; undefined for who does not see it. */
  readonly accounts: PlanCount | undefined;
  readonly keys: PlanCount;
  readonly subKeys: PlanCount;
  readonly depth: PlanCount;
}

/** What an organization's plan allows and what of it is used; undefined for the root, which has no plan. */
export async function getPlanUsage(
  domain: Domain,
  actor: Principal,
  account: string,
): Promise<PlanUsage | undefined> {
  const fields = new Fields();
  const name = fields.reference("account", account);
  fields.check();
  const chain = await findAccount(domain.store, actor, name);
  const plan = await planOf(domain.store, chain);
  if (plan === undefined) return undefined;
  const used = await domain.store.accounts.planUse(chain[0]);
  return {
    plan: plan.name,
    accounts: seesOrganization(actor, chain) ? { used: used.accounts, maximum: plan.accounts } : undefined,
    keys: { used: used.keys, maximum: plan.keysPerAccount },
    subKeys: { used: used.subKeys, maximum: plan.subKeysPerAccount },
    // The root and the organization are the last two of the chain.
    depth: { used: chain.length - 2, maximum: plan.depth },
  };
}

// How many accounts there are beside its own is nothing for a subaccount's key.
function seesOrganization(actor: Principal, chain: Chain): boolean {
  const [organization, ...above] = chain.slice(-2) as [Account, ...Account[]];
  return reaches(actor.view, [organization, ...above]);
}
