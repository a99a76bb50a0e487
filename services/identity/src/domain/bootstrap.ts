import { hashSecret, type KeyFormat, maskKey, mintId } from "@gatehouse/keys";
import { type Account, NOTHING_SET } from "./accounts/account.ts";
import type { Definition, Plan } from "./definitions/definition.ts";
import { REQUESTS } from "./definitions/meter.ts";
import { DEFAULT_PLAN_NAME } from "./definitions/plan.ts";
import type { Domain } from "./domain.ts";
import type { AuditEvent } from "./events/audit.ts";
import { auditedAccount, auditedKey } from "./events/audit.ts";
import type { Key } from "./keys/key.ts";
import { mintKey } from "./keys/new-key.ts";

/** What the first start made; nothing on every later one. */
export interface Bootstrapped {
  /** The root key's credential, where it was minted and not handed in. Shown once. */
  readonly rootKey: string | undefined;
}

/** Replicas start together; one of them makes the root. */
const GATE = "bootstrap";

/**
 * Makes the root account, its key, the plan `default` and the meter `requests` where there is no account yet.
 * `rootKey` is a whole master key of this deployment's format. Throws an Error where it is not.
 */
export async function bootstrap(
  domain: Domain,
  plan: Plan,
  rootKey: string | undefined,
): Promise<Bootstrapped> {
  const at = new Date(domain.nowMs());
  const account = rootAccount(at);
  const handedIn = rootKey === undefined ? undefined : handedInKey(domain.format, account.id, rootKey, at);
  const { value } = await domain.store.change(async (change) => {
    await change.gate({ reliedOn: [], changed: [GATE] });
    if (await change.accounts.any()) return undefined;
    const { key, secret } = handedIn ?? mintKey(domain.format, rootKeyWish(account.id), at);
    await change.accounts.insert(account);
    await change.keys.insert(key);
    await change.definitions.put(defaultPlan(account.id, plan, at));
    await change.definitions.put(requestsMeter(account.id, at));
    await change.audit(firstEvent(account, key, at));
    return secret;
  });
  return { rootKey: handedIn === undefined ? value : undefined };
}

function rootAccount(at: Date): Account {
  const id = mintId("acc");
  return {
    id,
    parentId: undefined,
    organizationId: undefined,
    path: [id],
    slug: "provider",
    name: "Provider",
    status: "ACTIVE",
    suspensionReason: "",
    plan: "",
    profile: {},
    labels: {},
    ...NOTHING_SET,
    providerRules: { types: new Map(), terms: [], importPrefixes: [] },
    createdAt: at,
    updatedAt: at,
  };
}

function defaultPlan(accountId: string, body: Plan, at: Date): Definition<"plan"> {
  const name = DEFAULT_PLAN_NAME;
  return { kind: "plan", accountId, name, id: mintId("pln"), body, createdAt: at, updatedAt: at };
}

function requestsMeter(accountId: string, at: Date): Definition<"meter"> {
  return { kind: "meter", accountId, ...REQUESTS, id: "", createdAt: at, updatedAt: at };
}

function rootKeyWish(accountId: string) {
  return { accountId, kind: "MASTER", name: "root", roles: [], scopes: ["**"] } as const;
}

function handedInKey(format: KeyFormat, accountId: string, presented: string, at: Date) {
  const parsed = format.parse(presented);
  if (parsed?.kind !== "MASTER" || !format.authentic(presented)) {
    throw new Error("the root key is no master key of this deployment's prefix and peppers");
  }
  const { key } = mintKey(format, rootKeyWish(accountId), at);
  const own = { id: parsed.keyId, masked: maskKey(presented), secretHashes: [hashSecret(presented)] };
  const handedIn: Key = { ...key, ...own };
  return { key: handedIn, secret: presented };
}

function firstEvent(account: Account, key: Key, at: Date): AuditEvent {
  return {
    id: mintId("evt"),
    at,
    actorKeyId: "",
    actorAccountId: "",
    action: "gatehouse.bootstrap",
    target: account.id,
    outcome: "OK",
    accountPath: account.path,
    before: null,
    after: { account: auditedAccount(account), firstKey: auditedKey(key) },
  };
}
