import type { Principal } from "@gatehouse/access";
import { denied } from "@gatehouse/service/failure";
import { digestOf } from "../digest.ts";
import type { Domain } from "../domain.ts";
import { audited, auditedKey, done } from "../events/audit.ts";
import { Fields } from "../fields.ts";
import { gatesOf, reliedOnBy, requireManager, stillPermitted } from "../rules/actor.ts";
import { checkAhead } from "../rules/check-ahead.ts";
import { requireNotClosed } from "../rules/closed-rule.ts";
import { findKey } from "../rules/find-in-reach.ts";
import { judgeRoles } from "../rules/grant-rule.ts";
import { type NewlyOfKey, requireFeatures } from "../rules/plan-feature-rule.ts";
import { keepingManager, managerGates } from "../rules/provider-manager-rule.ts";
import type { Reads } from "../store.ts";
import type { ChangedKey } from "./change-key-status.ts";
import { type Key, type KeyInTree, withoutEnded } from "./key.ts";
import { type AskedOfKey, checkAsked, DEFAULT_HEARTBEAT_MS, declared, judgeTimes } from "./key-fields.ts";
import { requireMayManage, requireNotFinal } from "./manage-key-rule.ts";
import { showKey } from "./show-key.ts";
import { requireMayWiden } from "./widening-rule.ts";

/** As the caller sent it; empty where it said nothing. */
export interface UpdateKeyRequest extends AskedOfKey {
  readonly key: string;
  readonly strictReplay: boolean | undefined;
  readonly updateMask: readonly string[];
}

/** The fields that can change, as the proto names them. */
const FIELDS = [
  "name",
  "roles",
  "scopes",
  "labels",
  "endpoints",
  "ip_allow",
  "ip_deny",
  "denied_integrations",
  "not_before",
  "expires_at",
  "require_heartbeat",
  "heartbeat_timeout",
  "strict_replay",
] as const;

/** What a key may change of itself: what it is called. Everything else would let it raise itself, or lock it out. */
const ITS_OWN: ReadonlySet<string> = new Set(["name", "labels"]);

/** Changes what a key is called, may do, and may be used from. */
export function updateKey(domain: Domain, actor: Principal, request: UpdateKeyRequest): Promise<ChangedKey> {
  const fields = new Fields();
  const { keyId, changed, asked } = read(fields, request);
  const attempt = { actor, action: "gatehouse.keys.update", target: keyId };
  return audited(domain, attempt, async () => {
    await checkAhead(actor, fields, async () => {
      if (fields.isWrong("key")) return;
      const before = await findKey(domain.store, actor, keyId);
      const wish = await wished(fields, domain.store, before, asked, changed, domain.nowMs());
      judge(fields, before, wish, request, domain.nowMs());
    });
    requireManager(actor);
    const target = await findKey(domain.store, actor, keyId);
    requireMayManage(actor, target.key);
    const { value, freshness } = await domain.store.change(async (change) => {
      const [own, ...above] = gatesOf(target);
      await change.gate({
        reliedOn: [...reliedOnBy(actor), ...above],
        changed: [own!, ...managerGates(target.chain[0])],
      });
      const caller = await stillPermitted(domain, change, attempt, { chain: target.chain, what: "key" });
      const before = (await change.keys.find(keyId))!;
      requireNotFinal(before.key);
      requireNotClosed(before.chain);
      const at = new Date(domain.nowMs());
      const wish = await wished(fields, change, before, asked, changed, at.getTime());
      const different = differences(before.key, wish);
      requireNotItself(caller, before.key, different);
      judge(fields, before, wish, request, at.getTime());
      fields.check();
      if (different.size === 0) return showKey(change, before, at.getTime());

      await requireFeatures(change, before.chain, newly(before.key, wish));
      const after = { ...before, key: { ...withoutEnded(wish, at.getTime()), updatedAt: at } };
      requireMayWiden(caller, before, after);
      await keepingManager(change, before.chain[0], at.getTime(), () => change.keys.update(after.key));
      const shownBefore = auditedKey(before.key);
      const audit = { target: keyId, account: before.chain[0], before: shownBefore };
      await change.audit(done(attempt, at, { ...audit, after: auditedKey(after.key) }));
      return showKey(change, after, at.getTime());
    });
    return { shown: value, freshness };
  });
}

type Changed = ReadonlySet<string>;

function read(fields: Fields, request: UpdateKeyRequest) {
  fields.reference("key", request.key, { required: true });
  const changed = fields.mask(request.updateMask, FIELDS, given(request));
  const asked = checkAsked(fields, request, { named: changed.has("name") });
  return { keyId: request.key, changed, asked: { ...request, ...asked } };
}

/** The fields that are given, for requests without a mask. */
function given(request: UpdateKeyRequest): string[] {
  const { name, roles, scopes, labels, endpoints, ipAllow, ipDeny, deniedIntegrations } = request;
  const said: Record<(typeof FIELDS)[number], boolean> = {
    name: name !== "",
    roles: roles.length > 0,
    scopes: scopes.length > 0,
    labels: Object.keys(labels).length > 0,
    endpoints: endpoints.length > 0,
    ip_allow: ipAllow.length > 0,
    ip_deny: ipDeny.length > 0,
    denied_integrations: deniedIntegrations.length > 0,
    not_before: request.notBeforeMs !== undefined,
    expires_at: request.expiresAtMs !== undefined,
    require_heartbeat: request.requireHeartbeat !== undefined,
    heartbeat_timeout: request.heartbeatTimeoutMs !== undefined,
    strict_replay: request.strictReplay !== undefined,
  };
  return FIELDS.filter((field) => said[field]);
}

/** The key as it is to be; says what of it cannot be. */
async function wished(
  fields: Fields,
  reads: Pick<Reads, "definitions">,
  { key, chain }: KeyInTree,
  asked: UpdateKeyRequest,
  changed: Changed,
  nowMs: number,
): Promise<Key> {
  const named = await declared(fields, reads, chain, {
    endpoints: changed.has("endpoints") ? asked.endpoints : [],
    deniedIntegrations: changed.has("denied_integrations") ? asked.deniedIntegrations : [],
  });
  return {
    ...key,
    ...(changed.has("name") && { name: asked.name }),
    ...(changed.has("roles") && { roles: asked.roles }),
    ...(changed.has("scopes") && { scopes: asked.scopes }),
    ...(changed.has("labels") && { labels: asked.labels }),
    ...(changed.has("endpoints") && { endpoints: named.endpoints }),
    ...(changed.has("ip_allow") && { ipAllow: asked.ipAllow }),
    ...(changed.has("ip_deny") && { ipDeny: asked.ipDeny }),
    ...(changed.has("denied_integrations") && { deniedIntegrations: named.deniedIntegrations }),
    ...(changed.has("not_before") && { notBeforeMs: asked.notBeforeMs }),
    ...(changed.has("expires_at") && { expiresAtMs: asked.expiresAtMs }),
    heartbeatTimeoutMs: heartbeat(fields, key, asked, changed),
    signing: signing(fields, key, asked, changed, nowMs),
  };
}

function heartbeat(fields: Fields, key: Key, asked: UpdateKeyRequest, changed: Changed): number | undefined {
  const required = changed.has("require_heartbeat")
    ? asked.requireHeartbeat
    : key.heartbeatTimeoutMs !== undefined;
  const timeoutMs = changed.has("heartbeat_timeout") ? asked.heartbeatTimeoutMs : key.heartbeatTimeoutMs;
  if (!required && changed.has("heartbeat_timeout") && timeoutMs !== undefined) {
    fields.wrong("heartbeat_timeout", "is for keys with require_heartbeat only");
  }
  return required ? (timeoutMs ?? DEFAULT_HEARTBEAT_MS) : undefined;
}

function signing(
  fields: Fields,
  { signing: now }: Key,
  { strictReplay = false }: UpdateKeyRequest,
  changed: Changed,
  nowMs: number,
) {
  if (!changed.has("strict_replay")) return now;
  if (now === undefined && strictReplay) fields.wrong("strict_replay", "is for signing keys only");
  if (now === undefined || now.strictReplay === strictReplay) return now;
  return { ...now, strictReplay, strictSinceMs: strictReplay ? nowMs : undefined };
}

/** Says what is wrong with what would be different. */
function judge(
  fields: Fields,
  { key, chain }: KeyInTree,
  wish: Key,
  { roles }: UpdateKeyRequest,
  nowMs: number,
): void {
  const different = differences(key, wish);
  if (different.has("notBeforeMs") || different.has("expiresAtMs")) judgeTimes(fields, wish, nowMs);
  if (different.has("roles")) judgeRoles(fields, chain, "roles", roles);
  judgeNotItsMembers(fields, key, different);
  judgeDeniesMeanTheSame(fields, key, wish, different);
}

/** The properties in which two states of a key differ. */
function differences(before: Key, after: Key): ReadonlySet<keyof Key> {
  const properties = Object.keys(after) as (keyof Key)[];
  // Lists without an entry and times without a value are told apart from those that have one.
  return new Set(
    properties.filter(
      (property) => digestOf([before[property] ?? null]) !== digestOf([after[property] ?? null]),
    ),
  );
}

function requireNotItself({ view }: Principal, key: Key, different: ReadonlySet<keyof Key>): void {
  const own = key.id === view.key.id || key.id === view.key.parentKeyId;
  if (!own || [...different].every((property) => ITS_OWN.has(property))) return;
  throw denied("OWN_CEILING", "a key changes nothing of itself but its name and labels");
}

function judgeNotItsMembers(fields: Fields, { userId }: Key, different: ReadonlySet<keyof Key>): void {
  if (userId === undefined) return;
  for (const property of ["roles", "scopes"] as const) {
    if (different.has(property))
      fields.wrong(property, "of a personal key are its member's, and change there");
  }
}

// Beside roles a list of only denies takes away; without them it means everything but those. Nobody who takes the last
// role away means that.
function judgeDeniesMeanTheSame(
  fields: Fields,
  before: Key,
  after: Key,
  different: ReadonlySet<keyof Key>,
): void {
  if (before.roles.length === 0 || after.roles.length > 0 || different.has("scopes")) return;
  if (after.scopes.length === 0 || !after.scopes.every((scope) => scope.startsWith("!"))) return;
  fields.wrong(
    "scopes",
    "must be said anew: without roles, a list of only denies means everything but those",
  );
}

/** What the update gives that was not there: a plan that lost a feature leaves what is there. */
function newly(before: Key, after: Key): NewlyOfKey {
  const names = new Set(before.endpoints.map(({ name }) => name));
  return {
    roles: after.roles.filter((role) => !before.roles.includes(role)),
    scopes: after.scopes.filter((scope) => !before.scopes.includes(scope)),
    endpoints: after.endpoints.filter(({ name }) => !names.has(name)),
  };
}
