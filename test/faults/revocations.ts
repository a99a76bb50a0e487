import { setTimeout as pause } from "node:timers/promises";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { KeyKind } from "@gatehouse/proto/identity";
import { type Caller, timely } from "../system/caller.ts";
import { makeOrganization, makeSubKey } from "../system/organization.ts";
import type { System } from "../system/system.ts";
import { overGrpc } from "../system/transports.ts";
import type { VerifyInit } from "../system/verifying.ts";

/** A call that is VALID, and the change that makes it be refused. */
export interface Revocation {
  /** The way it is done. */
  readonly name: string;
  readonly request: VerifyInit;
  /** What a bell would name, where that is the key itself. */
  readonly keyId?: string;
  /** Whose key asks. */
  readonly verifier: Caller;
  /** Answers the change's freshness token. */
  readonly change: () => Promise<{ readonly freshness: string }>;
  /** Takes away what the provider may have only so many of. */
  readonly cleanUp?: () => Promise<unknown>;
}

type Prepared = Omit<Revocation, "name" | "verifier"> & { readonly verifier?: Caller };
type Way = (system: System, name: string) => Promise<Prepared>;

/** Sets them up, each in an organization of its own; `round` keeps the names of several rounds apart. Default: all. */
export async function prepareRevocations(
  system: System,
  round: string,
  names: readonly string[] = Object.keys(ways),
): Promise<readonly Revocation[]> {
  const chosen = names.map((name) => [name, ways[name]!] as const);
  return Promise.all(
    chosen.map(async ([name, prepare], i) => {
      const prepared = await prepare(system, `${round} ${i}`);
      return { name, verifier: system.root, ...prepared };
    }),
  );
}

const ways: Readonly<Record<string, Way>> = {
  "revoking a key": onKey((keys, key) => keys.revokeKey({ key }, timely)),
  "disabling a key": onKey((keys, key) => keys.disableKey({ key }, timely)),
  "rotating a key without grace": onKey((keys, key) => keys.rotateKey({ key }, timely)),
  "the end of a key": onKey(async (keys, key) => {
    const endsMs = Date.now() + ENDS_IN_MS;
    const expiresAt = timestampFromMs(endsMs);
    const updated = await keys.updateKey({ key, expiresAt, updateMask: { paths: ["expires_at"] } }, timely);
    await pause(Math.max(0, endsMs - Date.now()));
    return updated;
  }),
  "narrowing a key's scopes": onKey((keys, key) =>
    keys.updateKey(
      { key, scopes: ["orders.**"], roles: [], updateMask: { paths: ["scopes", "roles"] } },
      timely,
    ),
  ),
  "denying an address to a key": onKey((keys, key) =>
    keys.updateKey({ key, ipDeny: ["192.0.2.0/24"], updateMask: { paths: ["ip_deny"] } }, timely),
  ),
  "revoking a parent key": onParent((keys, key) => keys.revokeKey({ key }, timely)),
  "narrowing a parent key's scopes": onParent((keys, key) =>
    keys.updateKey(
      { key, scopes: ["orders.**"], roles: [], updateMask: { paths: ["scopes", "roles"] } },
      timely,
    ),
  ),
  "denying an address to a parent key": onParent((keys, key) =>
    keys.updateKey({ key, ipDeny: ["192.0.2.0/24"], updateMask: { paths: ["ip_deny"] } }, timely),
  ),
  "suspending a subaccount": onAccount((master, { sub }) =>
    master.accounts.suspendAccount({ account: sub, reason: "ABUSE" }, timely),
  ),
  "closing a subaccount": onAccount((master, { sub }) =>
    master.accounts.closeAccount({ account: sub }, timely),
  ),
  "suspending an organization": onAccount((_master, { organization }, root) =>
    root.accounts.suspendAccount({ account: organization, reason: "ABUSE" }, timely),
  ),
  "lowering the ceiling of a subaccount": onAccount((master, { sub }) =>
    master.accounts.setScopeCeiling({ account: sub, scopes: ["orders.**"] }, timely),
  ),
  "lowering the ceiling of an organization": onAccount((_master, { organization }, root) =>
    root.accounts.setScopeCeiling({ account: organization, scopes: ["orders.**"] }, timely),
  ),
  async "suspending the account that a master key names"(system, name) {
    const { master, key, subaccounts } = await makeOrganization(system, name, ["team"]);
    const account = subaccounts[0]!.id;
    return {
      request: { ...asked, key: key.secret, account },
      change: () => master.accounts.suspendAccount({ account, reason: "ABUSE" }, timely),
    };
  },
  async "taking scopes from a role"(system, name) {
    const { id, master, key, subaccounts } = await makeOrganization(system, name, ["team"]);
    const call = overGrpc(system);
    const role = { account: id, name: "reader", title: "Reader", scopes: ["weather.**"] };
    await call(key.secret, "identity.v1.RoleService/CreateRole", role);
    const account = subaccounts[0]!.id;
    const made = await master.keys.createKey(
      { account, kind: KeyKind.ACCOUNT, name: "reader", roles: ["reader"] },
      timely,
    );
    const change = { account: id, role: "reader", scopes: ["orders.**"], updateMask: "scopes" };
    return {
      request: { ...asked, key: made.secret },
      change: () => call(key.secret, "identity.v1.RoleService/UpdateRole", change),
    };
  },
  async "lowering the ceiling of a type"(system, name) {
    const call = overGrpc(system);
    const type = name.replaceAll(" ", "-");
    const { secret } = system.root;
    await call(secret, "identity.v1.TypeService/CreateType", { name: type, title: name, open: true });
    const { key } = await system.root.accounts
      .createAccount({ name, type }, timely)
      .then((made) => ({ key: made.secret }));
    const change = { type, scopeCeiling: ["orders.**"], updateMask: "scopeCeiling" };
    return {
      request: { ...asked, key },
      change: () => call(secret, "identity.v1.TypeService/UpdateType", change),
    };
  },
  async "laying down terms"(system, name) {
    const { subaccounts } = await makeOrganization(system, name, ["team"]);
    const document = name.replaceAll(" ", "-");
    const terms = { document, version: "1", title: name, gates: [`${document}.**`] };
    const { secret } = system.root;
    return {
      request: { ...asked, key: subaccounts[0]!.key.secret, resource: `${document}.read` },
      change: () => overGrpc(system)(secret, "identity.v1.TermsService/CreateTerms", terms),
      cleanUp: () => overGrpc(system)(secret, "identity.v1.TermsService/DeleteTerms", { document }),
    };
  },
  async "revoking the key that asks"(system, name) {
    const { id, master, subaccounts } = await makeOrganization(system, name, ["team"]);
    const scopes = ["gatehouse.verify"];
    const made = await master.keys.createKey(
      { account: id, kind: KeyKind.ACCOUNT, name: "verifier", scopes },
      timely,
    );
    return {
      request: { ...asked, key: subaccounts[0]!.key.secret },
      verifier: system.as(made.secret),
      change: () => master.keys.revokeKey({ key: made.key!.id }, timely),
    };
  },
};

/** An end in the past is refused, and a change can be held up on its way. */
const ENDS_IN_MS = 1500;

const asked = { resource: "weather.read", clientIp: "192.0.2.7" };

function onKey(change: (keys: Caller["keys"], key: string) => Promise<{ readonly freshness: string }>): Way {
  return async (system, name) => {
    const { master, subaccounts } = await makeOrganization(system, name, ["team"]);
    const { key } = subaccounts[0]!;
    const { id, secret } = key;
    return { request: { ...asked, key: secret }, keyId: id, change: () => change(master.keys, id) };
  };
}

function onParent(
  change: (keys: Caller["keys"], key: string) => Promise<{ readonly freshness: string }>,
): Way {
  return async (system, name) => {
    const { master, subaccounts } = await makeOrganization(system, name, ["team"]);
    const parent = subaccounts[0]!.key.id;
    const { secret } = await makeSubKey(master, parent, "bot");
    return { request: { ...asked, key: secret }, change: () => change(master.keys, parent) };
  };
}

function onAccount(
  change: (
    master: Caller,
    ids: { readonly organization: string; readonly sub: string },
    root: Caller,
  ) => Promise<{ readonly freshness: string }>,
): Way {
  return async (system, name) => {
    const { id, master, subaccounts } = await makeOrganization(system, name, ["team"]);
    const { id: sub, key } = subaccounts[0]!;
    return {
      request: { ...asked, key: key.secret },
      change: () => change(master, { organization: id, sub }, system.root),
    };
  };
}
