import type { System } from "../system/system.ts";
import { until } from "../system/until.ts";
import { call, type Outcome } from "./call.ts";

/** The columns of the matrix, in its order. */
export const CALLERS = [
  // The provider's root key.
  "root",
  // An account key of the provider with gatehouse.verify and nothing else.
  "verif",
  // The organization's first key: a master key with every role.
  "master",
  // Master keys of the organization with one built-in role each, so that from `master` only scopes tell them apart.
  "admin",
  "fund",
  "dev",
  "audit",
  // An account key of the subaccount, with administrator.
  "acct",
  // A sub-key of that one, with all that it has.
  "sub",
  // The first key of another organization: a master key with every role.
  "other",
  // Master keys of the organization with every role, that were revoked and disabled.
  "revkd",
  "disab",
  // No credential.
  "none",
  // What Gatehouse's services present to each other.
  "svc",
] as const;
export type CallerName = (typeof CALLERS)[number];

/** What an organization with a subaccount is, and everybody who may call about it. */
export interface World {
  /** Undefined for no credential. */
  readonly secrets: Readonly<Record<CallerName, string | undefined>>;
  /** What requests of the matrix are about. */
  readonly provider: string;
  readonly organization: string;
  /** The account that owns `acct` and `sub`. */
  readonly subaccount: string;
  /** Of the other organization. */
  readonly theirs: { readonly organization: string; readonly subaccount: string };
  /** The id of `acct`. */
  readonly accountKey: string;
  /** Ids that no other organization may ever see. */
  readonly own: readonly string[];
  /** A word that was not used before, which any name may be. */
  fresh(): string;
  /** A call of the provider's that must succeed; its answer. */
  // biome-ignore lint/suspicious/noExplicitAny: what curl would show.
  made(name: string, body: object): Promise<any>;
  /** As {@link made}, at the first time only. */
  // biome-ignore lint/suspicious/noExplicitAny: what curl would show.
  once(name: string, body: object): Promise<any>;
  call(caller: CallerName, name: string, body: object): Promise<Outcome>;
}

const ACCOUNTS = "identity.v1.AccountService";
const KEYS = "identity.v1.KeyService";
/** Deep enough for accounts below the subaccount; more keys than the matrix makes. */
const PLAN = { depth: 3, keys_per_account: 5000, sub_keys_per_account: 5000 };

export async function makeWorld(system: System): Promise<World> {
  const root = system.root.secret;
  let words = 0;
  const as = async (secret: string | undefined, name: string, body: object) => {
    const { word, text, body: answer } = await call(system, secret, name, body);
    if (word !== "ok") throw new Error(`${name} ${JSON.stringify(body)}: ${word} ${text}`);
    return answer;
  };
  const provider = (await as(root, `${KEYS}/WhoAmI`, {})).accountId;
  await as(root, "identity.v1.PlanService/UpdatePlan", { plan: "default", ...PLAN });
  const ours = await as(root, `${ACCOUNTS}/CreateAccount`, { name: "Ours" });
  const theirs = await as(root, `${ACCOUNTS}/CreateAccount`, { name: "Theirs" });
  const master = ours.secret;
  const key = async (body: object) => as(master, `${KEYS}/CreateKey`, { kind: "KEY_KIND_MASTER", ...body });
  const team = await as(master, `${ACCOUNTS}/CreateAccount`, {
    name: "Team",
    first_key: { name: "team", roles: ["administrator"] },
  });
  const theirTeam = await as(theirs.secret, `${ACCOUNTS}/CreateAccount`, { name: "Their team" });
  const sub = await as(team.secret, `${KEYS}/CreateKey`, { kind: "KEY_KIND_SUB", name: "sub" });
  const verifier = { name: "verifier", scopes: ["gatehouse.verify"] };
  const every = ["administrator", "fund-manager", "developer", "auditor"];
  const revoked = await key({ name: "revoked", roles: every });
  const disabled = await key({ name: "disabled", roles: every });
  const byRole = async (role: string) => (await key({ name: role, roles: [role] })).secret;
  const secrets: World["secrets"] = {
    root,
    verif: (await as(root, `${KEYS}/CreateKey`, verifier)).secret,
    master,
    admin: await byRole("administrator"),
    fund: await byRole("fund-manager"),
    dev: await byRole("developer"),
    audit: await byRole("auditor"),
    acct: team.secret,
    sub: sub.secret,
    other: theirs.secret,
    revkd: revoked.secret,
    disab: disabled.secret,
    none: undefined,
    svc: system.serviceSecret,
  };
  await as(master, `${KEYS}/RevokeKey`, { key: revoked.key.id });
  await as(master, `${KEYS}/DisableKey`, { key: disabled.key.id });
  await everywhere(system, secrets);

  const memory = new Map<string, Promise<unknown>>();
  const world: World = {
    secrets,
    provider,
    organization: ours.account.id,
    subaccount: team.account.id,
    theirs: { organization: theirs.account.id, subaccount: theirTeam.account.id },
    accountKey: team.key.id,
    own: [ours.account.id, team.account.id, ours.key.id, team.key.id, sub.key.id],
    fresh: () => `fresh${++words}`,
    made: (name, body) => as(root, name, body),
    once(name, body) {
      const known = `${name} ${JSON.stringify(body)}`;
      if (!memory.has(known)) memory.set(known, as(root, name, body));
      return memory.get(known) as Promise<never>;
    },
    call: (caller, name, body) => call(system, secrets[caller], name, body),
  };
  return world;
}

/** metering and authz follow identity: what was just revoked and disabled has to be so there too. */
async function everywhere(system: System, { revkd, disab }: World["secrets"]): Promise<void> {
  for (const name of ["metering.v1.LimitService/ListLimits", "authz.v1.AuthzService/Verify"]) {
    await until(`${name} knows the keys' states`, async () => {
      const words = await Promise.all([revkd, disab].map((secret) => call(system, secret, name, {})));
      const known = words.map(({ word }) => word).join();
      if (known !== "bad,dis") throw new Error(known);
      return true;
    });
  }
}
