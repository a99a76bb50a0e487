import { type KeyKind, type Principal, stateOfChain } from "@gatehouse/access";
import { denied, failedPrecondition } from "@gatehouse/service/failure";
import type { Chain } from "./account.ts";
import { gatesOf, reliedOnBy, requireManager, stillAlive } from "./actor.ts";
import { audited, auditedKey, done } from "./audit.ts";
import type { Domain } from "./domain.ts";
import { Fields } from "./fields.ts";
import { findAccount, findKey } from "./find-in-reach.ts";
import { requireCovered, requireRoles } from "./grant-rule.ts";
import type { Key, KeyInTree } from "./key.ts";
import { mintKey } from "./new-key.ts";
import { keysGate, requireRoomForKey } from "./plan-rule.ts";
import { remember, repeatable, replayed, replayGates } from "./replay-rule.ts";

/** As the caller sent it; empty where it said nothing. Times are Unix milliseconds. */
export interface CreateKeyRequest {
  readonly account: string;
  readonly parentKey: string;
  readonly kind: string | undefined;
  readonly name: string;
  readonly roles: readonly string[];
  readonly scopes: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly notBeforeMs: number | undefined;
  readonly expiresAtMs: number | undefined;
  readonly idempotencyKey: string;
}

export interface CreatedKey {
  readonly key: Key;
  /** Empty where `replayed`. */
  readonly secret: string;
  readonly freshness: string;
  readonly replayed: boolean;
}

/** Creates a key of an account in the caller's reach. */
export function createKey(domain: Domain, actor: Principal, request: CreateKeyRequest): Promise<CreatedKey> {
  const wanted = check(domain, request);
  const attempt = {
    actor,
    action: "gatehouse.keys.create",
    target: wanted.account ?? wanted.parentKey ?? "",
  };
  return audited(domain, attempt, async () => {
    requireManager(actor);
    if (wanted.kind === "MASTER" && actor.view.key.kind !== "MASTER") {
      throw denied("KEY_KIND_DENIED", "only a master key mints a master key");
    }
    const { chain, parent } = await findPlace(domain, actor, wanted);
    const accountId = chain[0].id;
    const create = repeatable(actor.view.key.accountId, "CreateKey", wanted);
    const { value, freshness } = await domain.store.change(async (change) => {
      await change.gate({
        reliedOn: [...reliedOnBy(actor), ...chain[0].path, ...(parent === undefined ? [] : gatesOf(parent))],
        changed: [keysGate(accountId), ...replayGates(create)],
      });
      const creator = await stillAlive(domain, change, actor);
      const earlier = await replayed(change, create, domain.nowMs());
      if (earlier !== undefined) {
        const { key } = (await change.keys.find(earlier.keyId))!;
        return { key, secret: "", replayed: true };
      }

      const owner = (await change.accounts.find(accountId))!;
      if (stateOfChain(owner) !== "VALID") {
        throw failedPrecondition("ACCOUNT_INACTIVE", "the account, or one above it, is not active");
      }
      const parentKey = parent && (await change.keys.find(parent.key.id))!.key;
      if (parentKey?.status === "REVOKED")
        throw failedPrecondition("FINAL_STATE", "the parent key is revoked");
      await requireRoomForKey(change, owner, wanted.kind);
      const at = new Date(domain.nowMs());
      const wish = { ...wanted, accountId, parentKeyId: parentKey?.id };
      const { key, secret } = mintKey(domain.format, wish, at);
      requireRoles(owner, "roles", key.roles);
      requireCovered(creator, { key, parent: parentKey, chain: owner });
      await change.keys.insert(key);
      await remember(change, create, { accountId, keyId: key.id }, at);
      await change.audit(done(attempt, at, { target: key.id, account: owner[0], after: auditedKey(key) }));
      return { key, secret, replayed: false };
    });
    return { ...value, freshness };
  });
}

type Wanted = ReturnType<typeof check>;

function check(domain: Domain, request: CreateKeyRequest) {
  const fields = new Fields();
  const kinds: readonly KeyKind[] = ["MASTER", "ACCOUNT", "SUB"];
  const parentKey = fields.reference("parent_key", request.parentKey);
  const wanted = {
    account: fields.reference("account", request.account),
    parentKey,
    kind: fields.choice("kind", request.kind, kinds) ?? (parentKey === undefined ? "ACCOUNT" : "SUB"),
    name: fields.keyName("name", request.name),
    roles: fields.roles("roles", request.roles),
    scopes: fields.scopes("scopes", request.scopes),
    labels: fields.labels("labels", request.labels),
    notBeforeMs: fields.time("not_before", request.notBeforeMs),
    expiresAtMs: fields.time("expires_at", request.expiresAtMs),
    idempotencyKey: fields.idempotencyKey("idempotency_key", request.idempotencyKey),
  };
  if (parentKey !== undefined && wanted.kind !== "SUB") fields.wrong("parent_key", "is for sub-keys only");
  const { notBeforeMs, expiresAtMs } = wanted;
  if (expiresAtMs !== undefined && expiresAtMs <= domain.nowMs()) {
    fields.wrong("expires_at", "must be in the future");
  } else if (expiresAtMs !== undefined && notBeforeMs !== undefined && expiresAtMs <= notBeforeMs) {
    fields.wrong("expires_at", "must be after not_before");
  }
  fields.check();
  return wanted;
}

/** The account that is to own the key, and for a sub-key the key it is to belong to. */
async function findPlace(
  domain: Domain,
  actor: Principal,
  wanted: Wanted,
): Promise<{ chain: Chain; parent: KeyInTree | undefined }> {
  const { store } = domain;
  if (wanted.kind !== "SUB") {
    return { chain: await findAccount(store, actor, wanted.account), parent: undefined };
  }
  const named = wanted.account === undefined ? undefined : await findAccount(store, actor, wanted.account);
  const parent = await findKey(store, actor, wanted.parentKey ?? actor.view.key.id);
  const chain = named ?? parent.chain;
  const fields = new Fields();
  if (parent.key.accountId !== chain[0].id) {
    fields.wrong(
      "parent_key",
      wanted.parentKey === undefined ? "is required" : "must be of the same account",
    );
  }
  fields.check();
  if (parent.key.kind === "SUB") throw denied("KEY_KIND_DENIED", "a sub-key has no sub-keys");
  return { chain, parent };
}
