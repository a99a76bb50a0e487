import { authenticate, type Directory, type Principal } from "@gatehouse/access";
import { presentedKey } from "@gatehouse/access/guard";
import type { KeyFormat } from "@gatehouse/keys";
import type { Call, Guard } from "@gatehouse/service";
import { Failure } from "@gatehouse/service/failure";
import type { Domain } from "../domain/domain.ts";
import { recordRefusal } from "../domain/events/audit.ts";

/**
 * The guard, with its refusals of mutations on record: a key that tries what it may not is what an auditor
 * looks for. A caller whose key is no good is nobody, and is left to the metrics.
 */
export function auditedGuard(
  guard: Guard<Principal>,
  domain: Domain,
  directory: Directory,
): Guard<Principal> {
  return (method, rule) => {
    const admit = guard(method, rule);
    if (rule.scope === "" || rule.scope.endsWith(".read")) return admit;
    return async (call) => {
      try {
        return await admit(call);
      } catch (error) {
        if (error instanceof Failure && error.code === "PERMISSION_DENIED") {
          const actor = await actorOf(call, domain.format, directory, domain.nowMs);
          if (actor !== undefined)
            await recordRefusal(domain, { actor, action: rule.scope, target: "" }, error);
        }
        throw error;
      }
    };
  };
}

/** Undefined where it can no longer be known, or has been stopped since: the refusal stands. */
async function actorOf(
  call: Call<undefined>,
  format: KeyFormat,
  directory: Directory,
  nowMs: () => number,
): Promise<Principal | undefined> {
  try {
    return await authenticate(presentedKey(call), format, directory, nowMs);
  } catch {
    return undefined;
  }
}
