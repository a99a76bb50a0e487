import { isCredential, type KeyView, type Principal, principalOf } from "@gatehouse/access";
import { denied, unauthenticated } from "@gatehouse/service/failure";
import type { Mirror } from "./mirror.ts";

/**
 * The key of a long call as it is now. What it began with may have been revoked, rotated or narrowed meanwhile.
 * Throws Failure UNAUTHENTICATED, PERMISSION_DENIED, as a new call would.
 */
export async function stillPermitted(
  mirror: Mirror,
  { view, presentedHash }: Principal,
  scope: string,
  nowMs: number,
): Promise<KeyView> {
  const principal = principalOf(await mirror.findKey(view.key.id), nowMs);
  if (presentedHash !== undefined && !isCredential(principal.view, presentedHash, nowMs)) {
    throw unauthenticated("CREDENTIAL_INVALID");
  }
  if (!principal.grant.allows(scope)) {
    throw denied("SCOPE_DENIED", `the key does not hold the scope ${scope}`);
  }
  return principal.view;
}
