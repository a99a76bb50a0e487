import type { KeyStatus, Principal } from "@gatehouse/access";
import { failedPrecondition } from "@gatehouse/service/failure";
import type { Domain } from "../domain.ts";
import { audited, auditedKey, done } from "../events/audit.ts";
import { Fields } from "../fields.ts";
import { gatesOf, reliedOnBy, requireManager, stillPermitted } from "../rules/actor.ts";
import { requireNotClosed } from "../rules/closed-rule.ts";
import { findKey } from "../rules/find-in-reach.ts";
import { requireCovered } from "../rules/grant-rule.ts";
import { keysGate, requireRoomForEnabled } from "../rules/plan-rule.ts";
import { keepingManager, managerGates } from "../rules/provider-manager-rule.ts";
import type { Change } from "../store.ts";
import { type Key, type KeyInTree, withoutEnded } from "./key.ts";
import { requireMayManage, requireNotFinal } from "./manage-key-rule.ts";
import { type ShownKey, showKey } from "./show-key.ts";

export interface ChangedKey {
  readonly shown: ShownKey;
  readonly freshness: string;
}

/** Stops a key, and with it its sub-keys, until it is enabled. */
export function disableKey(domain: Domain, actor: Principal, keyId: string): Promise<ChangedKey> {
  return changeStatus(domain, actor, keyId, { action: "gatehouse.keys.disable", status: "DISABLED" });
}

/** Lets a disabled key work again. It takes its place in the plan again too. */
export function enableKey(domain: Domain, actor: Principal, keyId: string): Promise<ChangedKey> {
  return changeStatus(domain, actor, keyId, { action: "gatehouse.keys.enable", status: "ENABLED" });
}

/** Stops a key and its sub-keys for good; their names and places in the plan are free from then on. */
export function revokeKey(domain: Domain, actor: Principal, keyId: string): Promise<ChangedKey> {
  return changeStatus(domain, actor, keyId, { action: "gatehouse.keys.revoke", status: "REVOKED" });
}

interface Transition {
  readonly action: string;
  readonly status: KeyStatus;
}

function changeStatus(
  domain: Domain,
  actor: Principal,
  keyId: string,
  transition: Transition,
): Promise<ChangedKey> {
  const fields = new Fields();
  fields.reference("key", keyId, { required: true });
  fields.check();
  const { action, status } = transition;
  const attempt = { actor, action, target: keyId };
  return audited(domain, attempt, async () => {
    requireManager(actor);
    const target = await findKey(domain.store, actor, keyId);
    const { accountId } = target.key;
    requireMayManage(actor, target.key);
    if (status !== "ENABLED") requireNotStoodOn(actor, target.key);
    const { value, freshness } = await domain.store.change(async (change) => {
      const [own, ...above] = gatesOf(target);
      await change.gate({
        reliedOn: [...reliedOnBy(actor), ...above],
        changed: [own!, ...(status === "ENABLED" ? [keysGate(accountId)] : managerGates(target.chain[0]))],
      });
      const caller = await stillPermitted(domain, change, attempt, { chain: target.chain, what: "key" });
      const before = (await change.keys.find(keyId))!;
      const at = new Date(domain.nowMs());
      if (before.key.status === status) return showKey(change, before, at.getTime());
      requireNotFinal(before.key);
      // It gives the key its power back: who could not have made the key may not.
      if (status === "ENABLED") {
        requireNotClosed(before.chain);
        requireCovered(caller, before);
      }
      await keepingManager(change, before.chain[0], at.getTime(), () => apply(change, before, status, at));
      const after = (await change.keys.find(keyId))!;
      const account = before.chain[0];
      const audit = { target: keyId, account, before: auditedKey(before.key), after: auditedKey(after.key) };
      await change.audit(done(attempt, at, audit));
      return showKey(change, after, at.getTime());
    });
    return { shown: value, freshness };
  });
}

function requireNotStoodOn(actor: Principal, key: Key): void {
  const { id, parentKeyId } = actor.view.key;
  if (key.id === id || key.id === parentKeyId) {
    throw failedPrecondition("SELF_LOCKOUT", "the key is the one that the call is made with");
  }
}

async function apply(change: Change, { key, chain }: KeyInTree, status: KeyStatus, at: Date) {
  if (status === "REVOKED") return change.keys.revoke(key.id, at);
  if (status === "ENABLED") await requireRoomForEnabled(change, chain, key.kind);
  return change.keys.update({ ...withoutEnded(key, at.getTime()), status, updatedAt: at });
}
