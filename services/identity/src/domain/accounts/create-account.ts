import { builtInRoles, type KeyKind, type Principal, stateOfChain } from "@gatehouse/access";
import { mintId } from "@gatehouse/keys";
import { denied, failedPrecondition } from "@gatehouse/service/failure";
import type { Definition } from "../definitions/definition.ts";
import { DEFAULT_PLAN_NAME } from "../definitions/plan.ts";
import type { Domain } from "../domain.ts";
import { audited, auditedAccount, auditedKey, done } from "../events/audit.ts";
import { Fields } from "../fields.ts";
import type { Key } from "../keys/key.ts";
import { type KeyWish, mintKey } from "../keys/new-key.ts";
import { reliedOnBy, requireManager, stillPermitted } from "../rules/actor.ts";
import { checkAhead } from "../rules/check-ahead.ts";
import { findAccount } from "../rules/find-in-reach.ts";
import { planGate, typeGate } from "../rules/gates.ts";
import { coveredRoles, judgeRoles, requireCovered } from "../rules/grant-rule.ts";
import { requireFeatures } from "../rules/plan-feature-rule.ts";
import { accountsGate, requireRoomForAccount } from "../rules/plan-rule.ts";
import { remember, repeatable, replayed, replayGates } from "../rules/replay-rule.ts";
import type { Change, Reads } from "../store.ts";
import { type Account, type Chain, NOTHING_SET, type Profile, slugSpaceBelow } from "./account.ts";
import { checkProfile } from "./check-profile.ts";
import { deriveSlug, SLUG_PATTERN, SLUG_RULE } from "./slug.ts";
import { findType, requireTypeEnabled } from "./type-rule.ts";
import { judgeHasPlan, judgePlan } from "./update-account.ts";

/** As the caller sent it; empty where it said nothing. */
export interface CreateAccountRequest {
  readonly parent: string;
  readonly name: string;
  readonly slug: string;
  readonly type: string;
  readonly plan: string;
  readonly profile: Profile;
  readonly labels: Readonly<Record<string, string>>;
  readonly firstKey: {
    readonly name: string;
    readonly kind: string | undefined;
    readonly roles: readonly string[];
    readonly scopes: readonly string[];
  };
  readonly idempotencyKey: string;
}

export interface CreatedAccount {
  readonly account: Account;
  readonly key: Key;
  /** Empty where `replayed`. */
  readonly secret: string;
  readonly freshness: string;
  readonly replayed: boolean;
}

const SUBACCOUNT_ROLES = ["developer", "auditor"];

/** Creates an account below another and mints its first key, in one transaction. */
export function createAccount(
  domain: Domain,
  actor: Principal,
  request: CreateAccountRequest,
): Promise<CreatedAccount> {
  const fields = new Fields();
  const wanted = read(fields, request);
  const attempt = { actor, action: "gatehouse.accounts.create", target: wanted.parent ?? "" };
  return audited(domain, attempt, async () => {
    await checkAhead(actor, fields, async () => {
      if (fields.isWrong("parent")) return;
      await judge(fields, domain.store, await findAccount(domain.store, actor, wanted.parent), request);
    });
    requireManager(actor);
    const parent = await findAccount(domain.store, actor, wanted.parent);
    const create = repeatable(actor.view.key.accountId, "CreateAccount", wanted);
    const { value, freshness } = await domain.store.change(async (change) => {
      await change.gate({
        reliedOn: [...reliedOnBy(actor), ...parent[0].path, ...gatesOfWanted(wanted, parent)],
        changed: replayGates(create),
      });
      const creator = await stillPermitted(domain, change, attempt, { chain: parent });
      const earlier = await replayed(change, create, domain.nowMs());
      if (earlier !== undefined) return recall(change, earlier);

      const below = (await change.accounts.find(parent[0].id))!;
      requireActive(below);
      const type = await judge(fields, change, below, request);
      fields.check();
      if (type !== undefined) requireTypeEnabled(below, type);
      const at = new Date(domain.nowMs());
      const unnamed = newAccount(below[0], wanted, at);
      const { key, secret } = mintKey(domain.format, firstKeyOf(creator, unnamed, wanted.firstKey), at);
      const chain: Chain = [{ ...unnamed, slug: "" }, ...below];
      const { roles, scopes } = wanted.firstKey;
      await requireFeatures(change, chain, { roles, scopes });
      requireCovered(creator, { key, parent: undefined, chain });
      await remember(change, create, { accountId: unnamed.id, keyId: key.id }, at);

      // Every account of an organization is made behind this gate, one after the other: only what counts or names
      // accounts, and what writes, comes after it.
      await change.gate({ reliedOn: [], changed: [accountsGate(below[0])] });
      await requireRoomForAccount(change, below);
      const space = slugSpaceBelow(below[0]);
      const slug = wanted.slug || (await deriveSlug(change.accounts, space, wanted.name, unnamed.id));
      const account: Account = { ...unnamed, slug };
      await change.accounts.insert(account);
      await change.keys.insert(key);
      const after = { account: auditedAccount(account), firstKey: auditedKey(key) };
      await change.audit(done(attempt, at, { target: account.id, account, after }));
      return { account, key, secret, replayed: false };
    });
    return { ...value, freshness };
  });
}

type Wanted = ReturnType<typeof read>;

function read(fields: Fields, request: CreateAccountRequest) {
  const { firstKey } = request;
  return {
    parent: fields.reference("parent", request.parent),
    name: fields.text("name", request.name, { min: 1, max: 100 }),
    slug: request.slug && fields.pattern("slug", request.slug, SLUG_PATTERN, SLUG_RULE),
    type: request.type && fields.pattern("type", request.type, SLUG_PATTERN, SLUG_RULE),
    plan: request.plan && fields.pattern("plan", request.plan, SLUG_PATTERN, SLUG_RULE),
    profile: checkProfile(fields, request.profile),
    labels: fields.labels("labels", request.labels),
    firstKey: {
      name: fields.keyName("first_key.name", firstKey.name || "first"),
      kind: fields.choice("first_key.kind", firstKey.kind, ["MASTER", "ACCOUNT"]),
      roles: fields.roles("first_key.roles", firstKey.roles),
      scopes: fields.scopes("first_key.scopes", firstKey.scopes),
    },
    idempotencyKey: fields.idempotencyKey("idempotency_key", request.idempotencyKey),
  };
}

/** Says what is wrong with what has to be looked up; answers the type, where there is to be one. */
async function judge(
  fields: Fields,
  reads: Pick<Reads, "definitions">,
  parent: Chain,
  { plan, type, firstKey }: CreateAccountRequest,
): Promise<Definition<"type"> | undefined> {
  judgeRoles(fields, parent, "first_key.roles", firstKey.roles);
  if (plan !== "") judgeHasPlan(fields, parent.length === 1);
  if (parent.length === 1) await judgePlan(fields, reads, parent, plan || DEFAULT_PLAN_NAME);
  return type === "" ? undefined : findType(fields, reads, parent, type);
}

/** What it is given must not be deleted meanwhile. */
function gatesOfWanted({ plan, type }: Wanted, [parent]: Chain): string[] {
  const ofPlan = parent.parentId === undefined ? [planGate(plan || DEFAULT_PLAN_NAME)] : [];
  return type === "" ? ofPlan : [...ofPlan, typeGate(type)];
}

function requireActive(chain: Chain): void {
  if (stateOfChain(chain) === "VALID") return;
  throw failedPrecondition("ACCOUNT_INACTIVE", "the account above, or one above that, is not active");
}

function newAccount(parent: Account, wanted: Wanted, at: Date): Omit<Account, "slug"> {
  const id = mintId("acc");
  return {
    id,
    parentId: parent.id,
    organizationId: parent.organizationId ?? (parent.parentId === undefined ? id : parent.id),
    path: [...parent.path, id],
    name: wanted.name,
    status: "ACTIVE",
    suspensionReason: "",
    plan: parent.plan || wanted.plan || DEFAULT_PLAN_NAME,
    profile: wanted.profile,
    labels: wanted.labels,
    ...NOTHING_SET,
    type: wanted.type,
    createdAt: at,
    updatedAt: at,
  };
}

/** What is said wins; what is left to us never exceeds the creator, instead of failing. */
function firstKeyOf(creator: Principal, account: Omit<Account, "slug">, wanted: Wanted["firstKey"]): KeyWish {
  const organization = account.organizationId === account.id;
  const master = creator.view.key.kind === "MASTER";
  if (wanted.kind === "MASTER" && !master) {
    throw denied("KEY_KIND_DENIED", "only a master key mints a master key");
  }
  const kind: KeyKind = wanted.kind ?? (organization && master ? "MASTER" : "ACCOUNT");
  const silent = wanted.roles.length === 0 && wanted.scopes.length === 0;
  const defaults = organization ? [...builtInRoles.keys()] : SUBACCOUNT_ROLES;
  const roles = silent ? coveredRoles(creator, defaults) : wanted.roles;
  return { accountId: account.id, kind, name: wanted.name, roles, scopes: wanted.scopes };
}

async function recall(change: Change, { accountId, keyId }: { accountId: string; keyId: string }) {
  const { key, chain } = (await change.keys.find(keyId))!;
  const account = chain.find(({ id }) => id === accountId)!;
  return { account, key, secret: "", replayed: true };
}
