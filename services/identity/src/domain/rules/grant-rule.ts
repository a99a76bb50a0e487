import {
  type AccountNode,
  builtInRoles,
  grantOf,
  type KeyNode,
  type KeyView,
  type Principal,
  scopesOfRole,
} from "@gatehouse/access";
import { compileGrant, covers, intersect, MAX_COVER_STEPS } from "@gatehouse/scopes";
import { denied, type Failure } from "@gatehouse/service/failure";
import { digestOf } from "../digest.ts";
import type { Fields } from "../fields.ts";

/** Where Gatehouse's own scopes live; scopes of the API itself may be granted by who does not hold them. */
export const CONTROL_PLANE = "gatehouse.**";

/**
 * What many keys of one call may take to be seen to be covered, in all: some tens of milliseconds in which nobody else
 * is served, with gates held.
 */
export const MANY_COVER_STEPS = 5 * MAX_COVER_STEPS;

/**
 * Judges new keys without parent keys, many of one call, as requireCovered does: those that say the same once, and all
 * of them within one budget. Throws Failure GRANT_EXCEEDS_HOLDER also where it is spent.
 */
export function requireAllCovered(
  creator: Principal,
  keys: readonly KeyNode[],
  chain: KeyView["chain"],
  budget = { left: MANY_COVER_STEPS },
): void {
  const judged = new Set<string>();
  for (const key of keys) {
    const said = digestOf([key.roles, key.scopes]);
    if (judged.has(said)) continue;
    judged.add(said);
    if (covers(creator.grant, grantOf(key, chain), CONTROL_PLANE, budget)) continue;
    if (budget.left > 0) throw exceeds();
    throw denied(
      "GRANT_EXCEEDS_HOLDER",
      `the keys cannot be seen to be covered by their creator in ${CONTROL_PLANE}: say less of each, or take fewer`,
    );
  }
}

/** Throws Failure GRANT_EXCEEDS_HOLDER where a new key could do more to Gatehouse than its creator can. */
export function requireCovered(creator: Principal, { key, parent, chain }: KeyView): void {
  // A sub-key is judged within its parent key, which may be another than the creator. Ceilings do not count: they may
  // be lifted, and the key stays.
  const own = grantOf(key, chain);
  const grant = parent === undefined ? own : intersect([own, grantOf(parent, chain)]);
  if (!covers(creator.grant, grant, CONTROL_PLANE)) throw exceeds();
}

function exceeds(): Failure {
  return denied(
    "GRANT_EXCEEDS_HOLDER",
    `the key would hold scopes of ${CONTROL_PLANE} that its creator does not`,
  );
}

/**
 * Throws Failure GRANT_EXCEEDS_HOLDER where a role that is to stand for the scopes gives keys more power over
 * Gatehouse than its maker has.
 */
export function requireCoveredScopes(maker: Principal, scopes: readonly string[]): void {
  if (covers(maker.grant, compileGrant({ roles: [scopes], scopes: [] }), CONTROL_PLANE)) return;
  throw denied(
    "GRANT_EXCEEDS_HOLDER",
    `keys of the role would hold scopes of ${CONTROL_PLANE} that the caller does not`,
  );
}

/** Those of the roles whose control-plane scopes the creator holds itself. */
export function coveredRoles(creator: Principal, roles: readonly string[]): string[] {
  return roles.filter((role) => {
    const grant = compileGrant({ roles: [builtInRoles.get(role) ?? []], scopes: [] });
    return covers(creator.grant, grant, CONTROL_PLANE);
  });
}

/** Names every role that keys of the account cannot have; of too many none. */
export function judgeRoles(
  fields: Fields,
  chain: readonly Pick<AccountNode, "roles">[],
  field: string,
  roles: readonly string[],
): void {
  if (fields.isWrong(field)) return;
  for (const [index, role] of roles.entries()) {
    if (scopesOfRole(role, chain) === undefined) fields.wrong(`${field}[${index}]`, "is no role");
  }
}
