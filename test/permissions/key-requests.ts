import { hash } from "node:crypto";
import { freshKey, type Requests } from "./request.ts";
import type { World } from "./world.ts";

const SERVICE = "identity.v1.KeyService";

export const keyRequests: Requests = {
  [`${SERVICE}/CreateKey`]: ({ subaccount, fresh }) => ({
    account: subaccount,
    name: fresh(),
    roles: ["developer"],
  }),
  [`${SERVICE}/CreateKey:master`]: ({ subaccount, fresh }) => ({
    account: subaccount,
    name: fresh(),
    kind: "KEY_KIND_MASTER",
  }),
  [`${SERVICE}/CreateKey:sub`]: async (world) => ({
    parent_key: (await freshKey(world)).id,
    name: world.fresh(),
  }),
  [`${SERVICE}/CreateKey:fund-manager`]: ({ subaccount, fresh }) => ({
    account: subaccount,
    name: fresh(),
    roles: ["fund-manager"],
  }),
  [`${SERVICE}/GetKey`]: ({ accountKey }) => ({ key: accountKey }),
  [`${SERVICE}/ListKeys`]: ({ subaccount }) => ({ account: subaccount }),
  [`${SERVICE}/DisableKey`]: ofFreshKey,
  [`${SERVICE}/DisableKey:master`]: async (world) => ({
    key: (await freshKey(world, { kind: "KEY_KIND_MASTER" })).id,
  }),
  [`${SERVICE}/DisableKey:own`]: async (world, caller) =>
    caller === "acct" || caller === "sub" ? { key: world.accountKey } : ofFreshKey(world),
  [`${SERVICE}/EnableKey`]: ofFreshKey,
  [`${SERVICE}/RevokeKey`]: ofFreshKey,
  [`${SERVICE}/UpdateKey`]: async (world) => ({
    ...(await ofFreshKey(world)),
    labels: { is: world.fresh() },
  }),
  [`${SERVICE}/UpdateKey:fund-manager`]: async (world) => ({
    ...(await ofFreshKey(world)),
    roles: ["fund-manager"],
  }),
  [`${SERVICE}/RotateKey`]: ofFreshKey,
  [`${SERVICE}/RotateKey:fund-manager`]: async (world) => ({
    key: (await freshKey(world, { roles: ["fund-manager"] })).id,
  }),
  [`${SERVICE}/ImportKeys`]: async (world) => {
    await importsAllowed(world);
    return { account: world.subaccount, keys: [imported(world)] };
  },
  [`${SERVICE}/ImportKeys:fund-manager`]: async (world) => {
    await importsAllowed(world);
    return { account: world.subaccount, keys: [{ ...imported(world), roles: ["fund-manager"] }] };
  },
  [`${SERVICE}/ReportLeak`]: async (world) => ({
    secrets: [(await freshKey(world)).secret],
    source: "a public repository",
  }),
  [`${SERVICE}/WhoAmI`]: () => ({}),
};

async function ofFreshKey(world: World): Promise<{ key: string }> {
  return { key: (await freshKey(world)).id };
}

async function importsAllowed({ once, provider }: World): Promise<void> {
  await once("identity.v1.AccountService/UpdateSettings", { account: provider, import_prefixes: ["old_"] });
}

function imported({ fresh }: World) {
  const name = fresh();
  return { name, prefix: "old_", hash: hash("sha256", `old_${name}`) };
}
