import {
  type AccountNode,
  isCredential,
  type KeyView,
  type Principal,
  principalOf,
  reaches,
} from "@gatehouse/access";
import { denied, notFound, unauthenticated } from "@gatehouse/service/failure";
import type { Domain } from "../domain.ts";
import type { Reads } from "../store.ts";

/** Sub-keys change nothing, whatever scopes they hold. The same for every target, so it tells nothing. */
export function requireManager(actor: Principal): void {
  if (actor.view.key.kind === "SUB") throw denied("KEY_KIND_DENIED", "a sub-key changes nothing");
}

/** What a change relies on besides its target: the acting key, its parent key and their accounts. */
export function reliedOnBy(actor: Principal): string[] {
  return gatesOf(actor.view);
}

/** The ids that the state of a key hangs on. */
export function gatesOf({ key, chain }: Pick<KeyView, "key" | "chain">): string[] {
  const parent = key.parentKeyId === undefined ? [] : [key.parentKeyId];
  return [key.id, ...parent, ...chain.map((account) => account.id)];
}

/**
 * The actor as it is behind the gate. It was alive when the call came in; what counts is that it is alive
 * while nothing can change it any more, else a key that is being revoked could still mint another. The same holds of
 * the credential that it came in with: what is rotated away is as good as stolen. Throws Failure UNAUTHENTICATED.
 */
export async function stillAlive(
  domain: Domain,
  reads: Pick<Reads, "keys">,
  actor: Principal,
): Promise<Principal> {
  const { presentedHash } = actor;
  const nowMs = domain.nowMs();
  const alive = principalOf(await reads.keys.find(actor.view.key.id), nowMs, presentedHash);
  if (presentedHash !== undefined && !isCredential(alive.view, presentedHash, nowMs)) {
    throw unauthenticated("CREDENTIAL_INVALID");
  }
  return alive;
}

/**
 * The actor as it is behind the gate, where it acts on a node: it may have lost the scope meanwhile, or the reach,
 * if its account was isolated. An action is named after the scope that it takes.
 * Throws Failure UNAUTHENTICATED, SCOPE_DENIED and NOT_FOUND.
 */
export async function stillPermitted(
  domain: Domain,
  reads: Pick<Reads, "keys">,
  { actor, action }: { readonly actor: Principal; readonly action: string },
  { chain, what = "account" }: { readonly chain: readonly AccountNode[]; readonly what?: string },
): Promise<Principal> {
  const alive = await stillAlive(domain, reads, actor);
  if (!alive.grant.allows(action)) throw denied("SCOPE_DENIED", `the key does not hold the scope ${action}`);
  if (!reaches(alive.view, chain)) throw notFound(what);
  return alive;
}
