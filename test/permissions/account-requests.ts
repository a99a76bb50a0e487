import { freshAccount, type Requests, subaccountToStop } from "./request.ts";
import type { World } from "./world.ts";

const SERVICE = "identity.v1.AccountService";
const TYPES = "identity.v1.TypeService";
/** Closed to nobody: what it gates does not exist. */
const TERMS = { document: "matrix", version: "1", gates: ["no.such.thing"] };

export const accountRequests: Requests = {
  [`${SERVICE}/CreateAccount`]: ({ subaccount, fresh }) => ({ parent: subaccount, name: fresh() }),
  [`${SERVICE}/CreateAccount:master-key`]: ({ subaccount, fresh }) => ({
    parent: subaccount,
    name: fresh(),
    first_key: { kind: "KEY_KIND_MASTER", roles: ["developer"] },
  }),
  [`${SERVICE}/CreateAccount:fund-manager`]: ({ subaccount, fresh }) => ({
    parent: subaccount,
    name: fresh(),
    first_key: { roles: ["fund-manager"] },
  }),
  [`${SERVICE}/GetAccount`]: ({ subaccount }) => ({ account: subaccount }),
  [`${SERVICE}/ListAccounts`]: ({ subaccount }) => ({ parent: subaccount }),
  [`${SERVICE}/SuspendAccount`]: async (world, caller) => ({
    account: await subaccountToStop(world, caller),
    reason: "ABUSE",
  }),
  [`${SERVICE}/SuspendAccount:organization`]: async (world, caller) => ({
    account: caller === "root" ? await freshAccount(world) : world.organization,
  }),
  [`${SERVICE}/ResumeAccount`]: ({ subaccount }) => ({ account: subaccount }),
  [`${SERVICE}/UpdateAccount`]: ({ subaccount, fresh }) => ({ account: subaccount, labels: { is: fresh() } }),
  [`${SERVICE}/UpdateAccount:plan`]: ({ organization }) => ({ account: organization, plan: "default" }),
  [`${SERVICE}/RenameAccount`]: ({ subaccount, fresh }) => ({ account: subaccount, name: fresh() }),
  [`${SERVICE}/CloseAccount`]: async (world, caller) => ({ account: await subaccountToStop(world, caller) }),
  [`${SERVICE}/AcceptTerms`]: async ({ once, subaccount }) => {
    await once("identity.v1.TermsService/CreateTerms", TERMS);
    return { account: subaccount, document: TERMS.document, version: TERMS.version };
  },
  [`${SERVICE}/GetPlanUsage`]: ({ subaccount }) => ({ account: subaccount }),
  [`${SERVICE}/SetScopeCeiling`]: ({ subaccount }) => ({ account: subaccount, scopes: ["**"] }),
  [`${SERVICE}/EnableType`]: async (world) => ({ account: world.subaccount, type: await typeOfOurs(world) }),
  // Elsewhere for the provider, who may: enabled once, it is nothing new to enable.
  [`${SERVICE}/EnableType:not-ours`]: async (world, caller) => {
    const { type } = await world.once(`${TYPES}/CreateType`, { name: "not-ours" });
    return { account: caller === "root" ? await freshAccount(world) : world.subaccount, type: type.name };
  },
  [`${SERVICE}/DisableType`]: async (world) => ({ account: world.subaccount, type: await typeOfOurs(world) }),
  [`${SERVICE}/UpdateSettings`]: ({ subaccount }) => ({
    account: subaccount,
    leak_policy: "LEAK_POLICY_DISABLE",
  }),
  [`${SERVICE}/UpdateSettings:isolated`]: ({ subaccount }) => ({
    account: subaccount,
    isolated: false,
    update_mask: "isolated",
  }),
  [`${SERVICE}/UpdateSettings:import-prefixes`]: ({ provider }) => ({
    account: provider,
    import_prefixes: ["old_"],
  }),
  [`${SERVICE}/SetUpstreamCredential`]: ({ subaccount, fresh }) => ({
    account: subaccount,
    header: "authorization",
    value: fresh(),
  }),
};

/** A type that the provider enabled for the organization. */
async function typeOfOurs({ once, organization }: World): Promise<string> {
  const { type } = await once(`${TYPES}/CreateType`, { name: "ours" });
  await once(`${SERVICE}/EnableType`, { account: organization, type: type.name });
  return type.name;
}
