import { Caller } from "@gatehouse/proto/common";
import type { Guard } from "@gatehouse/service";
import { Failure } from "@gatehouse/service/failure";
import type { KeyView } from "./node.ts";
import type { Principal } from "./principal.ts";
import { reaches } from "./reach.ts";

/** A rate that has nothing left for a call. */
export interface RateExceeded {
  readonly limitId: string;
  readonly nodeId: string;
  /** Undefined where no wait helps. */
  readonly retryAfterMs: number | undefined;
}

/** Charges a call of the control plane to the rates on these nodes that count its scope, all of them or none. */
export type ChargeCall = (nodeIds: readonly string[], scope: string) => Promise<RateExceeded | undefined>;

/**
 * The guard, charging calls to the rates that are set on scopes of Gatehouse itself: `gatehouse.keys.create`, or all of
 * `gatehouse.**`. A call is charged to the key that makes it, its parent key, its account and every one above; what it
 * acts on has no part in it, which is known only once the request is read. It is charged if it is permitted, and stays
 * so when the handler refuses it.
 *
 * What takes something away is never charged: whoever has used up what there was can still revoke a key.
 */
export function chargingGuard(guard: Guard<Principal>, charge: ChargeCall): Guard<Principal> {
  return (method, rule) => {
    const admit = guard(method, rule);
    const isOfKey = rule.caller === Caller.KEY || rule.caller === Caller.PROVIDER;
    if (!isOfKey || !isCharged(rule.scope)) return admit;
    return async (call) => {
      const principal = await admit(call);
      const exceeded = await charge(nodesOf(principal.view), rule.scope);
      if (exceeded !== undefined) throw exceededBy(principal.view, exceeded);
      return principal;
    };
  };
}

const TAKING_AWAY: ReadonlySet<string> = new Set([
  "revoke",
  "revoke-invitation",
  "disable",
  "disable-type",
  "suspend",
  "close",
  "remove",
  "delete",
  "report-leak",
]);

/** Calls of the data plane, such as `gatehouse.verify`, have no verb. */
function isCharged(scope: string): boolean {
  const [, , verb] = scope.split(".");
  return verb !== undefined && !TAKING_AWAY.has(verb);
}

function nodesOf({ key, chain }: KeyView): string[] {
  const keys = key.parentKeyId === undefined ? [key.id] : [key.id, key.parentKeyId];
  return [...keys, ...chain.map(({ id }) => id)];
}

// Who is below a limit is refused by it, but not told whose it is.
function exceededBy(view: KeyView, { limitId, nodeId, retryAfterMs }: RateExceeded): Failure {
  const above = view.chain.findIndex(({ id }) => id === nodeId);
  const isSeen = above < 0 || reaches(view, view.chain.slice(above));
  return new Failure({
    code: "RESOURCE_EXHAUSTED",
    reason: "RATE_LIMITED",
    message: "a rate limit on calls of this kind is used up for now",
    retryAfterMs,
    quota: [
      isSeen
        ? { subject: above < 0 ? `key:${nodeId}` : `account:${nodeId}`, description: limitId }
        : { subject: "account", description: "a limit of an account above" },
    ],
  });
}
