import { type KeyKind, type Principal, stateOfChain } from "@gatehouse/access";
import { denied, failedPrecondition } from "@gatehouse/service/failure";
import type { Chain } from "../accounts/account.ts";
import type { Domain } from "../domain.ts";
import { audited, auditedKey, done } from "../events/audit.ts";
import { Fields } from "../fields.ts";
import { gatesOf, reliedOnBy, requireManager, stillPermitted } from "../rules/actor.ts";
import { checkAhead } from "../rules/check-ahead.ts";
import { findAccount, findKey } from "../rules/find-in-reach.ts";
import { judgeRoles, requireCovered } from "../rules/grant-rule.ts";
import { requireFeatures } from "../rules/plan-feature-rule.ts";
import { keysGate, requireRoomForKeys } from "../rules/plan-rule.ts";
import { remember, repeatable, replayed, replayGates } from "../rules/replay-rule.ts";
import type { Change, Reads } from "../store.ts";
import type { Key, KeyInTree } from "./key.ts";
import {
  type AskedOfKey,
  checkAsked,
  DEFAULT_HEARTBEAT_MS,
  declared,
  deniedToSubKeys,
  judgeTimes,
} from "./key-fields.ts";
import { requireNotAnothersPerson } from "./manage-key-rule.ts";
import { type KeyWish, mintKey, mintSigningKey } from "./new-key.ts";
import { type ShownKey, showKey } from "./show-key.ts";
import { type AskedOfSigning, checkSigning } from "./signing.ts";

/** As the caller sent it; empty where it said nothing. Times are Unix milliseconds. */
export interface CreateKeyRequest extends AskedOfKey {
  readonly account: string;
  readonly parentKey: string;
  readonly kind: string | undefined;
  readonly signing: AskedOfSigning | undefined;
  readonly idempotencyKey: string;
}

export interface CreatedKey {
  readonly shown: ShownKey;
  /** Empty where `replayed`, and for a key that Gatehouse has only the public half of. */
  readonly secret: string;
  readonly freshness: string;
  readonly replayed: boolean;
}

/** Creates a key of an account in the caller's reach. */
export function createKey(domain: Domain, actor: Principal, request: CreateKeyRequest): Promise<CreatedKey> {
  const fields = new Fields();
  const wanted = read(fields, request);
  const attempt = {
    actor,
    action: "gatehouse.keys.create",
    target: wanted.account ?? wanted.parentKey ?? "",
  };
  return audited(domain, attempt, async () => {
    const judgeIn = (chain: Chain) => judge(fields, domain.store, chain, request, domain.nowMs());
    await checkAhead(actor, fields, async () => {
      if (fields.isWrong("account") || (wanted.kind === "SUB" && fields.isWrong("parent_key"))) return;
      await judgeIn((await findPlace(fields, domain, actor, wanted)).chain);
    });
    requireManager(actor);
    if (wanted.kind === "MASTER" && actor.view.key.kind !== "MASTER") {
      throw denied("KEY_KIND_DENIED", "only a master key mints a master key");
    }
    const { chain, parent } = await findPlace(fields, domain, actor, wanted);
    await checkAhead(actor, fields, () => judgeIn(chain));
    if (parent !== undefined) requireMayHaveSubKeys(actor, parent.key);
    const accountId = chain[0].id;
    // A parent key left out is the presented one, so the same words of another key ask for something else.
    const body = { ...wanted, parentKey: parent?.key.id };
    const create = repeatable(actor.view.key.accountId, "CreateKey", body);
    const { value, freshness } = await domain.store.change(async (change) => {
      await change.gate({
        reliedOn: [...reliedOnBy(actor), ...chain[0].path, ...(parent === undefined ? [] : gatesOf(parent))],
        changed: [keysGate(accountId), ...replayGates(create)],
      });
      const creator = await stillPermitted(domain, change, attempt, { chain });
      const earlier = await replayed(change, create, domain.nowMs());
      if (earlier !== undefined) {
        const found = (await change.keys.find(earlier.keyId))!;
        const shown = await showKey(change, found, domain.nowMs());
        return { shown, secret: "", replayed: true };
      }

      const owner = (await change.accounts.find(accountId))!;
      if (stateOfChain(owner) !== "VALID") {
        throw failedPrecondition("ACCOUNT_INACTIVE", "the account, or one above it, is not active");
      }
      const parentKey = parent && (await change.keys.find(parent.key.id))!.key;
      if (parentKey?.status === "REVOKED")
        throw failedPrecondition("FINAL_STATE", "the parent key is revoked");
      const at = new Date(domain.nowMs());
      const named = await judge(fields, change, owner, request, at.getTime());
      fields.check();
      await requireFeatures(change, owner, wanted);
      await requireRoomForKeys(change, owner, wanted.kind);
      const deniedIntegrations = await deniedOf(change, owner, wanted.kind, named.deniedIntegrations);
      const wish: KeyWish = {
        ...wanted,
        ...named,
        deniedIntegrations,
        accountId,
        parentKeyId: parentKey?.id,
      };
      const { key, secret } =
        wanted.signing === undefined
          ? mintKey(domain.format, wish, at)
          : mintSigningKey(domain.sealer, wish, wanted.signing, at);
      const view = { key, parent: parentKey, chain: owner };
      requireCovered(creator, view);
      await change.keys.insert(key);
      await remember(change, create, { accountId, keyId: key.id }, at);
      await change.audit(done(attempt, at, { target: key.id, account: owner[0], after: auditedKey(key) }));
      return { shown: await showKey(change, view, at.getTime()), secret, replayed: false };
    });
    return { ...value, freshness };
  });
}

type Wanted = ReturnType<typeof read>;

function read(fields: Fields, request: CreateKeyRequest) {
  const kinds: readonly KeyKind[] = ["MASTER", "ACCOUNT", "SUB"];
  const parentKey = fields.reference("parent_key", request.parentKey);
  const { requireHeartbeat, ...asked } = checkAsked(fields, request);
  const wanted = {
    ...asked,
    account: fields.reference("account", request.account),
    parentKey,
    kind: fields.choice("kind", request.kind, kinds) ?? (parentKey === undefined ? "ACCOUNT" : "SUB"),
    signing: request.signing && checkSigning(fields, request.signing),
    heartbeatTimeoutMs: requireHeartbeat ? (asked.heartbeatTimeoutMs ?? DEFAULT_HEARTBEAT_MS) : undefined,
    idempotencyKey: fields.idempotencyKey("idempotency_key", request.idempotencyKey),
  };
  if (parentKey !== undefined && wanted.kind !== "SUB") fields.wrong("parent_key", "is for sub-keys only");
  if (asked.heartbeatTimeoutMs !== undefined && !requireHeartbeat) {
    fields.wrong("heartbeat_timeout", "is for keys with require_heartbeat only");
  }
  return wanted;
}

/** Says what is wrong with what has to be looked up; answers what the names stand for. */
function judge(
  fields: Fields,
  reads: Pick<Reads, "definitions">,
  owner: Chain,
  request: CreateKeyRequest,
  nowMs: number,
) {
  judgeTimes(fields, request, nowMs);
  judgeRoles(fields, owner, "roles", request.roles);
  return declared(fields, reads, owner, request);
}

/** A sub-key given none is barred from the integrations that the provider bars sub-keys from. */
async function deniedOf(change: Change, owner: Chain, kind: KeyKind, given: readonly string[]) {
  return kind === "SUB" && given.length === 0 ? deniedToSubKeys(change, owner) : given;
}

/** The account that is to own the key, and for a sub-key the key it is to belong to. */
async function findPlace(
  fields: Fields,
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
  if (parent.key.accountId !== chain[0].id) {
    fields.wrong(
      "parent_key",
      wanted.parentKey === undefined ? "is required" : "must be of the same account",
    );
  }
  return { chain, parent };
}

function requireMayHaveSubKeys(actor: Principal, parent: Key): void {
  if (parent.kind === "SUB") throw denied("KEY_KIND_DENIED", "a sub-key has no sub-keys");
  requireNotAnothersPerson(actor, parent);
}
