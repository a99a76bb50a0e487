import type { Principal } from "@gatehouse/access";
import type { Guard } from "@gatehouse/service";
import { Failure } from "@gatehouse/service/failure";

/**
 * The guard of the data plane: where the verifier's own key cannot be checked now, because identity has been out
 * of reach for too long, the call goes on without a principal and is answered INDETERMINATE. A caller who knows
 * how to treat that need not know how to treat UNAVAILABLE, too.
 */
export function verifierGuard(guard: Guard<Principal>): Guard<Principal | undefined> {
  return (method, rule) => {
    const admit = guard(method, rule);
    return (call) => {
      const principal = admit(call);
      return principal instanceof Promise ? principal.catch(undecided) : principal;
    };
  };
}

function undecided(error: unknown): undefined {
  if (error instanceof Failure && error.code === "UNAVAILABLE") return undefined;
  throw error;
}
