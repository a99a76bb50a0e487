import type { Principal } from "@gatehouse/access";
import { hasCredential } from "@gatehouse/access/guard";
import { Caller } from "@gatehouse/proto/common";
import type { Guard } from "@gatehouse/service";
import { VERIFY } from "../domain/open-verifier.ts";

/**
 * Lets in who says nothing of who it is, as `open`; a wrong credential is refused as ever. Only to the data plane: an
 * RPC of another scope keeps its guard.
 */
export function openGuard<P>(guard: Guard<P>, open: P & Principal): Guard<P> {
  return (method, rule) => {
    const admit = guard(method, rule);
    if (rule.caller !== Caller.KEY || rule.scope !== VERIFY) return admit;
    return (call) => (hasCredential(call) ? admit(call) : open);
  };
}
