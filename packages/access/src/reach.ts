import type { AccountNode, KeyView } from "./node.ts";

/**
 * May the key act on the account at the head of `chain` (own account first, root last)? Its own account
 * always; a master key any account of its subtree, unless its account is isolated from it. A slug or id outside is,
 * for the caller, not there.
 */
export function reaches(view: KeyView, chain: readonly AccountNode[]): boolean {
  if (chain[0]?.id === view.key.accountId) return true;
  return view.key.kind === "MASTER" && isInSubtree(view, chain);
}

/** Is the account at the head of `chain` one that the key's account may look into, whatever the kind of key? */
export function isInSubtree(view: KeyView, chain: readonly AccountNode[]): boolean {
  const own = view.key.accountId;
  if (chain[0]?.id === own) return true;
  return view.chain[0]?.isolated !== true && chain.some((account) => account.id === own);
}

/** Is the account at the head of `chain` strictly below the key's own account, and in the key's reach? */
export function isStrictAncestor(view: KeyView, chain: readonly AccountNode[]): boolean {
  return chain[0]?.id !== view.key.accountId && reaches(view, chain);
}

/** Does the key belong to the provider, the account at the root? */
export function isProvider(view: KeyView): boolean {
  return view.chain.length === 1;
}
