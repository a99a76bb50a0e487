import { builtInRoles, effectiveGrant, type KeyNode, type Principal } from "@gatehouse/access";
import { compileGrant, covers } from "@gatehouse/scopes";
import { denied } from "@gatehouse/service/failure";

/** Where Gatehouse's own scopes live; scopes of the API itself may be granted by who does not hold them. */
const CONTROL_PLANE = "gatehouse.**";

/** Throws Failure GRANT_EXCEEDS_HOLDER where a new key could do more to Gatehouse than its creator can. */
export function requireCovered(creator: Principal, key: KeyNode, parent: KeyNode | undefined): void {
  // A sub-key is judged within its parent key, which may be another than the creator.
  const grant = effectiveGrant({ key, parent, chain: [] });
  if (covers(creator.grant, grant, CONTROL_PLANE)) return;
  throw denied(
    "GRANT_EXCEEDS_HOLDER",
    `the key would hold scopes of ${CONTROL_PLANE} that its creator does not`,
  );
}

/** Those of the roles whose control-plane scopes the creator holds itself. */
export function coveredRoles(creator: Principal, roles: readonly string[]): string[] {
  return roles.filter((role) => {
    const grant = compileGrant({ roles: [builtInRoles.get(role) ?? []], scopes: [] });
    return covers(creator.grant, grant, CONTROL_PLANE);
  });
}
