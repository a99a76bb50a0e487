import type { AccountNode, KeyNode, KeyView } from "./node.ts";

/** Why a key does not work, or VALID. The order is the order of checks: the first failure wins. */
export type KeyState =
  | "VALID"
  | "NOT_FOUND"
  | "DISABLED"
  | "NOT_YET_VALID"
  | "EXPIRED"
  | "ACCOUNT_SUSPENDED"
  | "ACCOUNT_CLOSED";

/**
 * The state of a key at a time: its own, its parent key's, then that of its account and every ancestor.
 * Expiry is exclusive: a key is EXPIRED from `expiresAtMs` on.
 */
export function stateOf(view: KeyView, nowMs: number): KeyState {
  const { key, parent } = view;
  if (key.status === "REVOKED" || parent?.status === "REVOKED") return "NOT_FOUND";
  if (key.status === "DISABLED" || parent?.status === "DISABLED") return "DISABLED";
  if (beforeStart(key, nowMs) || (parent !== undefined && beforeStart(parent, nowMs))) return "NOT_YET_VALID";
  if (afterEnd(key, nowMs) || (parent !== undefined && afterEnd(parent, nowMs))) return "EXPIRED";
  return stateOfChain(view.chain);
}

/** The state of an account with its ancestors: a suspended or closed account stops its whole subtree. */
export function stateOfChain(
  chain: readonly AccountNode[],
): "VALID" | "ACCOUNT_SUSPENDED" | "ACCOUNT_CLOSED" {
  for (const account of chain) {
    if (account.status === "SUSPENDED") return "ACCOUNT_SUSPENDED";
    if (account.status === "CLOSED") return "ACCOUNT_CLOSED";
  }
  return "VALID";
}

function beforeStart(key: KeyNode, nowMs: number): boolean {
  return key.notBeforeMs !== undefined && nowMs < key.notBeforeMs;
}

function afterEnd(key: KeyNode, nowMs: number): boolean {
  return key.expiresAtMs !== undefined && nowMs >= key.expiresAtMs;
}
