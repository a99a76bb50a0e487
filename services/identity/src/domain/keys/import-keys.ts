import { type KeyKind, type Principal, providerRulesOf, stateOfChain } from "@gatehouse/access";
import { isHash, mintId } from "@gatehouse/keys";
import { denied, Failure, failedPrecondition, type Violation } from "@gatehouse/service/failure";
import type { Chain } from "../accounts/account.ts";
import type { Domain } from "../domain.ts";
import { audited, auditedKey, done } from "../events/audit.ts";
import { Fields } from "../fields.ts";
import { reliedOnBy, requireManager, stillPermitted } from "../rules/actor.ts";
import { checkAhead } from "../rules/check-ahead.ts";
import { findAccount } from "../rules/find-in-reach.ts";
import { judgeRoles, requireAllCovered } from "../rules/grant-rule.ts";
import { requireFeatures } from "../rules/plan-feature-rule.ts";
import { keysGate, requireRoomForKeys } from "../rules/plan-rule.ts";
import { remember, repeatable, replayed, replayGates } from "../rules/replay-rule.ts";
import type { Change } from "../store.ts";
import type { Key } from "./key.ts";

/** As the caller sent it; empty where it said nothing. */
export interface ImportKeysRequest {
  readonly account: string;
  readonly keys: readonly AskedOfImport[];
  readonly idempotencyKey: string;
}

export interface AskedOfImport {
  readonly hash: string;
  readonly prefix: string;
  readonly start: string;
  readonly name: string;
  readonly kind: string | undefined;
  readonly roles: readonly string[];
  readonly scopes: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly expiresAtMs: number | undefined;
}

export interface ImportedKeys {
  /** Without what else is shown of one key, so that the answer is no larger than the request. */
  readonly keys: readonly Key[];
  readonly freshness: string;
  readonly replayed: boolean;
}

/** What an import needs of a database. */
export interface ImportedReads {
  /** The id of the key behind each hash that is an imported credential, current or in its grace. */
  find(hashes: readonly string[]): Promise<ReadonlyMap<string, string>>;
  /** What imported keys begin with. */
  prefixes(): Promise<readonly string[]>;
}

export interface ImportedWrites extends ImportedReads {
  /** Which of the names are those of living keys of the account, and which hashes are or were those of any key. */
  taken(accountId: string, names: readonly string[], hashes: readonly string[]): Promise<Taken>;
  /** Throws Failure NAME_TAKEN or CREDENTIAL_TAKEN. */
  insert(keys: readonly Key[]): Promise<void>;
  /** Nobody imports them again: they were let go because somebody else may have them. Revoking a key does it too. */
  retire(hashes: readonly string[], at: Date): Promise<void>;
}

export interface Taken {
  readonly names: ReadonlySet<string>;
  readonly hashes: ReadonlySet<string>;
}

/** As many as one transaction should make. */
const MAX_KEYS = 500;
/** Past which a prefix says more than whose key it is. */
const MAX_PREFIX = 20;

/** Takes over keys made elsewhere, all or none, into an account in the caller's reach. */
export function importKeys(
  domain: Domain,
  actor: Principal,
  request: ImportKeysRequest,
): Promise<ImportedKeys> {
  const fields = new Fields();
  const wanted = read(fields, request);
  const attempt = { actor, action: "gatehouse.keys.import", target: wanted.account ?? "" };
  return audited(domain, attempt, async () => {
    await checkAhead(actor, fields, async () => {
      if (fields.isWrong("account") || fields.isWrong("keys")) return;
      judge(fields, await findAccount(domain.store, actor, wanted.account), request.keys, domain.nowMs());
    });
    requireManager(actor);
    if (wanted.keys.some(({ kind }) => kind === "MASTER") && actor.view.key.kind !== "MASTER") {
      throw denied("KEY_KIND_DENIED", "only a master key makes a master key");
    }
    const chain = await findAccount(domain.store, actor, wanted.account);
    const accountId = chain[0].id;
    const create = repeatable(actor.view.key.accountId, "ImportKeys", wanted);
    const { value, freshness } = await domain.store.change(async (change) => {
      await change.gate({
        reliedOn: [...reliedOnBy(actor), ...chain[0].path],
        changed: [keysGate(accountId), ...replayGates(create)],
      });
      const creator = await stillPermitted(domain, change, attempt, { chain });
      const owner = (await change.accounts.find(accountId))!;
      const nowMs = domain.nowMs();
      const earlier = await replayed(change, create, nowMs);
      if (earlier !== undefined) {
        const keys: Key[] = [];
        for (const keyId of earlier.keyIds!) keys.push((await change.keys.find(keyId))!.key);
        return { keys, replayed: true };
      }

      if (stateOfChain(owner) !== "VALID") {
        throw failedPrecondition("ACCOUNT_INACTIVE", "the account, or one above it, is not active");
      }
      judge(fields, owner, request.keys, nowMs);
      fields.check();
      await requirePossible(change, owner, wanted.keys);
      const at = new Date(nowMs);
      const keys = wanted.keys.map((wish) => imported(wish, accountId, at));
      requireAllCovered(creator, keys, owner);
      await change.imported.insert(keys);
      const keyIds = keys.map(({ id }) => id);
      await remember(change, create, { accountId, keyId: keyIds[0]!, keyIds }, at);
      for (const key of keys) {
        await change.audit(done(attempt, at, { target: key.id, account: owner[0], after: auditedKey(key) }));
      }
      return { keys, replayed: false };
    });
    return { ...value, freshness };
  });
}

type Wanted = ReturnType<typeof read>;
type Wish = Wanted["keys"][number];

function read(fields: Fields, { account, keys, idempotencyKey }: ImportKeysRequest) {
  if (keys.length < 1 || keys.length > MAX_KEYS) fields.wrong("keys", `must have 1 to ${MAX_KEYS} keys`);
  const bounded = keys.slice(0, MAX_KEYS);
  const wanted = {
    account: fields.reference("account", account),
    keys: bounded.map((key, index) => checkKey(fields, `keys[${index}]`, key)),
    idempotencyKey: fields.idempotencyKey("idempotency_key", idempotencyKey),
  };
  for (const [field, of] of [
    ["name", wanted.keys.map(({ name }) => name)],
    ["hash", wanted.keys.map(({ hash }) => hash)],
  ] as const) {
    const seen = new Set<string>();
    for (const [index, value] of of.entries()) {
      if (value !== "" && seen.has(value)) fields.wrong(`keys[${index}].${field}`, "is there twice");
      seen.add(value);
    }
  }
  return wanted;
}

function checkKey(fields: Fields, at: string, key: AskedOfImport) {
  const kinds: readonly KeyKind[] = ["MASTER", "ACCOUNT"];
  const hash = hashOf(key.hash);
  if (hash === undefined) fields.wrong(`${at}.hash`, "must be a SHA-256 in hexadecimal or base64url");
  return {
    hash: hash ?? "",
    prefix: fields.text(`${at}.prefix`, key.prefix, { min: 1, max: MAX_PREFIX }),
    start: start(fields, `${at}.start`, key.start),
    name: fields.keyName(`${at}.name`, key.name),
    kind: fields.choice(`${at}.kind`, key.kind, kinds) ?? ("ACCOUNT" as const),
    roles: fields.roles(`${at}.roles`, key.roles),
    scopes: fields.scopes(`${at}.scopes`, key.scopes),
    labels: fields.labels(`${at}.labels`, key.labels),
    expiresAtMs: fields.time(`${at}.expires_at`, key.expiresAtMs),
  };
}

function start(fields: Fields, field: string, value: string): string {
  if (!/^[!-~]{0,12}$/.test(value)) fields.wrong(field, "must be up to 12 visible ASCII characters");
  return value;
}

/** As hashes are kept, whichever way it was written. */
function hashOf(text: string): string | undefined {
  if (/^[0-9A-Fa-f]{64}$/.test(text)) return Buffer.from(text, "hex").toString("base64url");
  return isHash(text) ? text : undefined;
}

/** Says what the account that was looked up makes wrong with the keys. */
function judge(fields: Fields, owner: Chain, keys: readonly AskedOfImport[], nowMs: number): void {
  const prefixes = providerRulesOf(owner)?.importPrefixes ?? [];
  for (const [index, { prefix, roles, expiresAtMs }] of keys.entries()) {
    if (!prefixes.includes(prefix)) {
      fields.wrong(`keys[${index}].prefix`, "must be one of the provider's import prefixes");
    }
    if (expiresAtMs !== undefined && expiresAtMs <= nowMs) {
      fields.wrong(`keys[${index}].expires_at`, "must be in the future");
    }
    judgeRoles(fields, owner, `keys[${index}].roles`, roles);
  }
}

/** Throws where the account cannot have these keys; names every one that is in the way. */
async function requirePossible(change: Change, owner: Chain, keys: readonly Wish[]): Promise<void> {
  await requireFeatures(change, owner, {
    roles: keys.flatMap(({ roles }) => roles),
    scopes: keys.flatMap(({ scopes }) => scopes),
  });
  await requireRoomForKeys(change, owner, "ACCOUNT", keys.length);
  const names = keys.map(({ name }) => name);
  const hashes = keys.map(({ hash }) => hash);
  const taken = await change.imported.taken(owner[0].id, names, hashes);
  const violationsOf = (field: string, values: readonly string[], there: ReadonlySet<string>) =>
    values.flatMap((value, index) =>
      there.has(value) ? [{ field: `keys[${index}].${field}`, description: "is taken" }] : [],
    );
  refuse("NAME_TAKEN", "living keys of the account have the names", violationsOf("name", names, taken.names));
  // The same whoever has it: another organization's key is nobody's business.
  const credentials = violationsOf("hash", hashes, taken.hashes);
  refuse("CREDENTIAL_TAKEN", "the credentials are, or were, those of keys", credentials);
}

function refuse(reason: "NAME_TAKEN" | "CREDENTIAL_TAKEN", message: string, violations: Violation[]): void {
  if (violations.length === 0) return;
  throw new Failure({ code: "ALREADY_EXISTS", reason, message, violations });
}

function imported(wish: Wish, accountId: string, at: Date): Key {
  const { hash, prefix, start, ...said } = wish;
  return {
    ...said,
    id: mintId("key"),
    accountId,
    parentKeyId: undefined,
    status: "ENABLED",
    secretHashes: [hash],
    retiringHashes: [],
    endpoints: [],
    ipAllow: [],
    ipDeny: [],
    deniedIntegrations: [],
    signing: undefined,
    notBeforeMs: undefined,
    masked: `${prefix}${start}…`,
    imported: true,
    userId: undefined,
    heartbeatTimeoutMs: undefined,
    createdAt: at,
    updatedAt: at,
  };
}
