import { type AccountNode, isProvider, isStrictAncestor, type KeyView, reaches } from "@gatehouse/access";
import { isId } from "@gatehouse/keys";
import { denied, notFound } from "@gatehouse/service/failure";
import type { NodeRef } from "./limit.ts";
import type { AccountName, Mirror } from "./mirror.ts";
import { isStorable } from "./storable.ts";

/** A node as a request names it. */
export type NodeName =
  | { readonly kind: "ACCOUNT"; readonly name: string }
  | { readonly kind: "KEY"; readonly id: string };

/** A node that the caller may know of. */
export type ReachedNode = AccountInReach | KeyInReach;

interface AccountInReach {
  readonly kind: "ACCOUNT";
  readonly id: string;
  /** Itself, then its ancestors. */
  readonly chain: readonly AccountNode[];
}

interface KeyInReach {
  readonly kind: "KEY";
  readonly id: string;
  readonly view: KeyView;
  /** Its account, then that account's ancestors. */
  readonly chain: readonly AccountNode[];
}

const MAX_NAME_LENGTH = 200;

/**
 * The node that a request names, or the caller's own account.
 * Throws Failure NOT_FOUND, the same for what does not exist and for what is out of reach.
 */
export async function nodeInReach(
  mirror: Mirror,
  caller: KeyView,
  named: NodeName | undefined,
): Promise<ReachedNode> {
  if (named === undefined) return { kind: "ACCOUNT", id: caller.key.accountId, chain: caller.chain };
  if (named.kind === "KEY") {
    const view = isId("key", named.id) ? await mirror.findKey(named.id) : undefined;
    if (view === undefined || !reaches(caller, view.chain)) throw notFound("key");
    return { kind: "KEY", id: view.key.id, view, chain: view.chain };
  }
  const name = readAccountName(named.name, caller);
  const chain = name && (await mirror.findChain(name));
  if (chain === undefined || !reaches(caller, chain)) throw notFound("account");
  return { kind: "ACCOUNT", id: chain[0]!.id, chain };
}

/** A node by id, such as a limit names it. Undefined where it is out of reach or gone. */
export async function knownNodeInReach(
  mirror: Mirror,
  caller: KeyView,
  { kind, id }: NodeRef,
): Promise<ReachedNode | undefined> {
  if (kind === "KEY") {
    const view = await mirror.findKey(id);
    return view && reaches(caller, view.chain) ? { kind, id, view, chain: view.chain } : undefined;
  }
  const chain = await mirror.findChain({ by: "id", id });
  return chain && reaches(caller, chain) ? { kind, id, chain } : undefined;
}

/**
 * Nobody raises their own ceiling: an account's limits are set from a strict ancestor, a key's by its account's
 * master and account keys or from above, never by itself or its sub-keys. Throws Failure PERMISSION_DENIED.
 */
export function requireCeilingOf(caller: KeyView, node: ReachedNode): void {
  if (node.kind === "ACCOUNT") {
    if (!isStrictAncestor(caller, node.chain)) {
      throw denied("OWN_CEILING", "an account's limits are set from an account above it");
    }
    return;
  }
  if (node.id === caller.key.id || node.id === caller.key.parentKeyId) {
    throw denied("OWN_CEILING", "a key's limits are set neither by itself nor by its sub-keys");
  }
  if (caller.key.kind === "SUB") throw denied("KEY_KIND_DENIED", "a sub-key sets no limits");
}

function readAccountName(text: string, caller: KeyView): AccountName | undefined {
  if (text === "" || !isStorable(text, MAX_NAME_LENGTH)) return undefined;
  if (isId("acc", text)) return { by: "id", id: text };
  if (isProvider(caller)) {
    const [organization, subaccount, ...more] = text.split("/");
    return more.length === 0 ? { by: "path", organization: organization!, subaccount } : undefined;
  }
  const organizationId = caller.chain[0]?.organizationId;
  return organizationId === undefined ? undefined : { by: "slug", organizationId, slug: text };
}
