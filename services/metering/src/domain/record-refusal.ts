import { type AuditAttempt, RefusalBudget, refusedTarget } from "@gatehouse/access";
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

/** Puts refusals on record, as many of one key as it may have there in a minute. They stand where that fails. */
export function refusalRecord(store: RefusalStore, nowMs: () => number = Date.now) {
  const budget = new RefusalBudget();
  return async ({ actor, action, target }: AuditAttempt, { reason: outcome }: Failure): Promise<void> => {
    const { id: keyId, accountId } = actor.view.key;
    if (!budget.take(keyId, nowMs())) return;
    const refusal = { actor: { keyId, accountId }, action: action as Refusal["action"], outcome };
    await store.recordRefusal({ ...refusal, target: refusedTarget(target, actor) }).catch(() => {});
  };
}
