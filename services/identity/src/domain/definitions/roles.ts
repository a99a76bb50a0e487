import { builtInRoles, type Principal, scopesOfRole } from "@gatehouse/access";
import { denied, notFound } from "@gatehouse/service/failure";
import type { Chain } from "../accounts/account.ts";
import { SLUG_PATTERN } from "../accounts/slug.ts";
import type { Domain } from "../domain.ts";
import { Fields } from "../fields.ts";
import { findAccount } from "../rules/find-in-reach.ts";
import { requireCoveredScopes } from "../rules/grant-rule.ts";
import { requireFeature } from "../rules/plan-feature-rule.ts";
import type { Change } from "../store.ts";
import { reference } from "./define.ts";
import type { Definition } from "./definition.ts";
import { type Kind, title } from "./kind.ts";

/**
 * The roles that accounts define. A role stands for something on the keys that have it already, in the whole subtree,
 * so each step takes what it would take to grant what the role stands for afterwards.
 */
export const ROLES: Kind<"role"> = {
  kind: "role",
  what: "role",
  many: "roles",
  scopes: "gatehouse.roles",
  idPrefix: "rol",
  naming: { pattern: customName(), rule: "kebab-case, 1 to 63 characters, and no built-in role" },
  fields: {
    title,
    scopes(fields, field, value) {
      if (value.length === 0) fields.wrong(field, "must have 1 to 200 scopes");
      return fields.scopes(field, value);
    },
  },
  most: 50,
  mostBytes: 64 * 1024,
  decidesCalls: true,
  async rule(change, { actor, owner, name, after }) {
    await requireMayManageHolders(change, actor, owner, name);
    if (after !== undefined) await requireFeature(change, owner, "SCOPING");
    // Without a role of its own, what an account above means by the name counts.
    const scopes = after?.scopes ?? scopesOfRole(name, owner.slice(1));
    if (scopes !== undefined) requireCoveredScopes(actor, scopes);
  },
};

/** A role that keys of an account can be given, or a built-in one, which nobody lays down. */
export type GivenRole = Definition<"role"> | { readonly name: string; readonly scopes: readonly string[] };

/** What a role means on keys of an account. */
export async function getRole(
  domain: Domain,
  actor: Principal,
  request: { account: string; name: string },
): Promise<GivenRole> {
  const fields = new Fields();
  const account = reference(fields, ROLES, request);
  fields.check();
  const chain = await findAccount(domain.store, actor, account);
  const role = (await rolesOf(domain, chain)).find(({ name }) => name === request.name);
  if (role === undefined) throw notFound("role");
  return role;
}

/** Every role that keys of an account can be given, by name. */
export async function listRoles(
  domain: Domain,
  actor: Principal,
  request: { account: string },
): Promise<GivenRole[]> {
  const fields = new Fields();
  const account = fields.reference("account", request.account);
  fields.check();
  return rolesOf(domain, await findAccount(domain.store, actor, account));
}

/**
 * Throws Failure KEY_KIND_DENIED where anything but a master key is about to change what a master key may do, by what
 * its role stands for. A new role takes the place of one of that name above it for the keys below.
 */
async function requireMayManageHolders(change: Change, actor: Principal, [{ id }]: Chain, name: string) {
  if (actor.view.key.kind === "MASTER" || !(await change.keys.isMastersRole(id, name))) return;
  throw denied("KEY_KIND_DENIED", "only a master key changes a role that a master key has");
}

/** Those of the accounts above too: keys can be given them, so they are no secret. The nearest of a name counts. */
async function rolesOf(domain: Domain, chain: Chain): Promise<GivenRole[]> {
  const roles = new Map<string, GivenRole>();
  for (const { id } of [...chain].reverse()) {
    for (const role of await domain.store.definitions.list("role", id)) roles.set(role.name, role);
  }
  for (const [name, scopes] of builtInRoles) roles.set(name, { name, scopes });
  return [...roles.values()].sort((left, right) => (left.name < right.name ? -1 : 1));
}

function customName(): RegExp {
  return new RegExp(`^(?!(${[...builtInRoles.keys()].join("|")})$)${SLUG_PATTERN.source.slice(1)}`);
}
