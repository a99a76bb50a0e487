import { type Chain, rootOf } from "../accounts/account.ts";
import type { Reads } from "../store.ts";
import type { Plan } from "./definition.ts";
import { PLAN_FEATURES } from "./definition.ts";

/** The plan that is always there, for organizations that are given no other. */
export const DEFAULT_PLAN_NAME = "default";

/** What the first start makes of it; the provider may change it. */
export const DEFAULT_PLAN: Plan = {
  title: "Default",
  depth: 1,
  accounts: 10_000,
  keysPerAccount: 100,
  subKeysPerAccount: 1000,
  features: PLAN_FEATURES,
  defaultLimits: [],
};

export interface NamedPlan extends Plan {
  readonly name: string;
}

/** The plan of an account's organization; undefined for the root, which has none. */
export async function planOf(
  reads: Pick<Reads, "definitions">,
  chain: Chain,
): Promise<NamedPlan | undefined> {
  const [{ plan: name, organizationId }] = chain;
  if (organizationId === undefined) return undefined;
  const found = await reads.definitions.find("plan", rootOf(chain).id, name);
  if (found === undefined) throw new Error(`organization ${organizationId} has a plan that is not there`);
  return { ...found.body, name };
}
