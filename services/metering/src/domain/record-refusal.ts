import { type AuditAttempt, type RefusalRecord, refusedTarget } from "@gatehouse/access";
import type { Failure, Reason } from "@gatehouse/service/failure";
import type { Actor } from "./actor.ts";

/** An attempt that was refused. */
export interface Refusal {
  readonly actor: Actor;
  readonly action: `gatehouse.${string}`;
  /** What was named, where it has the shape of a name. */
  readonly target: string;
  readonly outcome: Reason;
}

export interface RefusalStore {
  recordRefusal(refusal: Refusal): Promise<void>;
}

/** How refusals are put on record. */
export function recordRefusals(store: RefusalStore, record: RefusalRecord, nowMs: () => number = Date.now) {
  return ({ actor, action, target }: AuditAttempt, { reason: outcome }: Failure): Promise<void> => {
    const { id: keyId, accountId } = actor.view.key;
    const refusal = { actor: { keyId, accountId }, action: action as Refusal["action"], outcome };
    return record.put(keyId, nowMs(), () =>
      store.recordRefusal({ ...refusal, target: refusedTarget(target, actor) }),
    );
  };
}
