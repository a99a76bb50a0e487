import { effectiveGrant, type KeyView, type Principal, stateOf } from "@gatehouse/access";
import { denied, type Failure, unauthenticated } from "@gatehouse/service/failure";
import type { Domain } from "./domain.ts";
import type { Change } from "./store.ts";

/** Sub-keys change nothing, whatever scopes they hold. The same for every target, so it tells nothing. */
export function requireManager(actor: Principal): void {
  if (actor.view.key.kind === "SUB") throw denied("KEY_KIND_DENIED", "a sub-key changes no accounts or keys");
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
 * while nothing can change it any more, else a key that is being revoked could still mint another.
 * Throws Failure UNAUTHENTICATED.
 */
export async function stillAlive(domain: Domain, change: Change, actor: Principal): Promise<Principal> {
  const view = await change.keys.find(actor.view.key.id);
  if (view === undefined) throw unauthenticated("CREDENTIAL_INVALID");
  const refusal = refusalOf(view, domain.nowMs());
  if (refusal !== undefined) throw refusal;
  return { view, grant: effectiveGrant(view) };
}

function refusalOf(view: KeyView, nowMs: number): Failure | undefined {
  switch (stateOf(view, nowMs)) {
    case "VALID":
      return undefined;
    case "NOT_FOUND":
      return unauthenticated("CREDENTIAL_INVALID");
    case "DISABLED":
      return unauthenticated("KEY_DISABLED");
    case "NOT_YET_VALID":
      return unauthenticated("KEY_NOT_YET_VALID");
    case "EXPIRED":
      return unauthenticated("KEY_EXPIRED");
    case "ACCOUNT_SUSPENDED":
      return unauthenticated("ACCOUNT_SUSPENDED");
    case "ACCOUNT_CLOSED":
      return unauthenticated("ACCOUNT_CLOSED");
  }
}
