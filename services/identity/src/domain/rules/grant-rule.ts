import {
  type AccountNode,
  builtInRoles,
  grantOf,
  type KeyView,
  type Principal,
  scopesOfRole,
} from "@gatehouse/access";
import { compileGrant, covers, intersect } from "@gatehouse/scopes";
import { denied } from "@gatehouse/service/failure";
import { Fields } from "../fields.ts";

/** Where Gatehouse's own scopes live; scopes of the API itself may be granted by who does not hold them. */
export const CONTROL_PLANE = "gatehouse.**";

/** Throws Failure GRANT_EXCEEDS_HOLDER where a new key could do more to Gatehouse than its creator can. */
export function requireCovered(creator: Principal, { key, parent, chain }: KeyView): void {
  // A sub-key is judged within its parent key, which may be another than the creator. Ceilings do not count: they may
  // be lifted, and the key stays.
  const own = grantOf(key, chain);
  const grant = parent === undefined ? own : intersect([own, grantOf(parent, chain)]);
  if (covers(creator.grant, grant, CONTROL_PLANE)) return;
  throw denied(
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

/** Throws Failure INVALID_ARGUMENT naming every role that keys of the account cannot have. */
export function requireRoles(
  chain: readonly Pick<AccountNode, "roles">[],
  field: string,
  roles: readonly string[],
): void {
  const fields = new Fields();
  for (const [index, role] of roles.entries()) {
    if (scopesOfRole(role, chain) === undefined) fields.wrong(`${field}[${index}]`, "is no role");
  }
  fields.check();
}
