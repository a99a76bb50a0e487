import { type Directory, effectiveGrant, type KeyView, type Principal } from "@gatehouse/access";
import { presentedKey } from "@gatehouse/access/guard";
import type { KeyFormat } from "@gatehouse/keys";
import type { Call, Guard } from "@gatehouse/service";
import { Failure, type Reason } from "@gatehouse/service/failure";
import type { Domain } from "../domain/domain.ts";
import { recordRefusal } from "../domain/events/audit.ts";

/** Why a key does not work that was presented with its secret; why others do not is nobody's to know. */
const STOPPED: readonly Reason[] = [
  "KEY_DISABLED",
  "KEY_NOT_YET_VALID",
  "KEY_EXPIRED",
  "ACCOUNT_SUSPENDED",
  "ACCOUNT_CLOSED",
];

/**
 * The guard, with its refusals of mutations on record: a key that tries what it may not, or that was stopped and is
 * tried again, is what an auditor looks for. Who presents no key of ours is nobody, and is left to the metrics.
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
        if (error instanceof Failure && isOfKnownKey(error)) {
          const view = await viewOf(call, domain.format, directory);
          if (view !== undefined) {
            const actor = { view, grant: effectiveGrant(view) };
            await recordRefusal(domain, { actor, action: rule.scope, target: "" }, error);
          }
        }
        throw error;
      }
    };
  };
}

function isOfKnownKey({ code, reason }: Failure): boolean {
  return code === "PERMISSION_DENIED" || STOPPED.includes(reason);
}

/** The key whose secret the guard has compared. Undefined where it can no longer be known: the refusal stands. */
async function viewOf(
  call: Call<undefined>,
  format: KeyFormat,
  directory: Directory,
): Promise<KeyView | undefined> {
  try {
    const presented = presentedKey(call);
    const parsed = format.parse(presented);
    return await (parsed === undefined
      ? directory.findImported?.(presented)
      : directory.findKey(parsed.keyId));
  } catch {
    return undefined;
  }
}
