import type { Principal } from "@gatehouse/access";
import { denied, failedPrecondition } from "@gatehouse/service/failure";
import type { Key } from "./key.ts";

/** Throws Failure KEY_KIND_DENIED where anything but a master key is about to change a master key. */
export function requireMayManage(actor: Principal, key: Key): void {
  if (key.kind === "MASTER" && actor.view.key.kind !== "MASTER") {
    throw denied("KEY_KIND_DENIED", "only a master key changes a master key");
  }
}

/**
 * Throws Failure KEY_KIND_DENIED where anybody but its holder is about to get a credential of a personal key, or of a
 * sub-key of it: that acts in the person's name.
 */
export function requireNotAnothersPerson(actor: Principal, { id, userId }: Key): void {
  if (userId === undefined || id === actor.view.key.id) return;
  throw denied(
    "KEY_KIND_DENIED",
    "only with a personal key itself does anybody get a credential of it or below it; invite the person again instead",
  );
}

/** Throws Failure FINAL_STATE for a revoked key. */
export function requireNotFinal({ status }: Key): void {
  if (status === "REVOKED") throw failedPrecondition("FINAL_STATE", "the key is revoked");
}
