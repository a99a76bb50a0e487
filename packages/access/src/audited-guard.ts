import type { KeyFormat } from "@gatehouse/keys";
import type { Access } from "@gatehouse/proto/common";
import { type Call, type Guard, type Log, seldom } from "@gatehouse/service";
import { Failure, type Reason } from "@gatehouse/service/failure";
import type { AuditAttempt } from "./audit.ts";
import { effectiveGrant } from "./grant.ts";
import { presentedKey } from "./guard.ts";
import type { KeyView } from "./node.ts";
import type { Directory, Principal } from "./principal.ts";

export interface AuditedGuardOptions {
  readonly format: KeyFormat;
  readonly directory: Directory;
  /** Puts a refusal on record. Never rejects: the refusal stands. */
  readonly record: (attempt: AuditAttempt, refusal: Failure) => Promise<void>;
  /** Of which RPCs; default every one that changes something. */
  readonly isAudited?: (rule: Access) => boolean;
}

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
  { format, directory, record, isAudited = changesSomething }: AuditedGuardOptions,
): Guard<Principal> {
  return (method, rule) => {
    const admit = guard(method, rule);
    if (!isAudited(rule)) return admit;
    return async (call) => {
      try {
        return await admit(call);
      } catch (error) {
        if (error instanceof Failure && isOfKnownKey(error)) {
          const view = await viewOf(call, format, directory);
          if (view !== undefined) {
            const actor = { view, grant: effectiveGrant(view) };
            await record({ actor, action: rule.scope, target: "" }, error);
          }
        }
        throw error;
      }
    };
  };
}

/** Says in the log, once in a while, why refusals could not be put on record. */
export function warnOfLost(log: Pick<Log, "warn">): (error: unknown) => void {
  return seldom(
    (err: unknown, times) => log.warn({ err, times }, "a refused attempt could not be put on record"),
    () => performance.now(),
  );
}

/** Whether an RPC takes a scope to change something. */
export function changesSomething({ scope }: Access): boolean {
  return scope !== "" && !scope.endsWith(".read");
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
