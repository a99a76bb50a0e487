import { type AccountNode, isProvider, isStrictAncestor, type KeyView, reaches } from "@gatehouse/access";
import { isId } from "@gatehouse/keys";
import { denied, invalid, notFound, type Violation } from "@gatehouse/service/failure";
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

/** Who reads: of its own account's names it hears, and of all below it where it sees them. */
export interface Reader {
  readonly accountId: string;
  readonly seesBelow: boolean;
}

/** Sums and lists of what is below an account go no further than a key reaches below its own: the others are read alone. */
export function readerOf({ key, chain }: KeyView): Reader {
  return { accountId: key.accountId, seesBelow: key.kind === "MASTER" && chain[0]?.isolated !== true };
}

const MAX_NAME_LENGTH = 200;

/** What is wrong with the name of a node, whatever it names. */
export function nodeViolations(named: NodeName | undefined): Violation[] {
  if (named === undefined) return [];
  return named.kind === "KEY" ? nameViolations("key", named.id) : nameViolations("account", named.name);
}

/** What is wrong with a name or id that is to be looked up. */
export function nameViolations(field: string, name: string): Violation[] {
  if (isStorable(name, MAX_NAME_LENGTH)) return [];
  return [{ field, description: `must be at most ${MAX_NAME_LENGTH} characters, none of them NUL` }];
}

/**
 * The node that a request names, or the caller's own account.
 * Throws Failure INVALID_ARGUMENT where it is no name at all, and NOT_FOUND, the same for what does not exist and
 * for what is out of reach.
 */
export async function nodeInReach(
  mirror: Mirror,
  caller: KeyView,
  named: NodeName | undefined,
): Promise<ReachedNode> {
  if (named === undefined) return { kind: "ACCOUNT", id: caller.key.accountId, chain: caller.chain };
  const violations = nodeViolations(named);
  if (violations.length > 0) throw invalid(violations);
  if (named.kind === "KEY") {
    const sought = ({ chain }: KeyView) => reaches(caller, chain);
    const view = isId("key", named.id) ? await mirror.findKey(named.id, sought) : undefined;
    if (view === undefined || !reaches(caller, view.chain)) throw notFound("key");
    return { kind: "KEY", id: view.key.id, view, chain: view.chain };
  }
  const name = readAccountName(named.name, caller);
  const chain = name && (await mirror.findChain(name, (found) => reaches(caller, found)));
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
    const view = await mirror.findKey(id, ({ chain }) => reaches(caller, chain));
    return view && reaches(caller, view.chain) ? { kind, id, view, chain: view.chain } : undefined;
  }
  const chain = await mirror.findChain({ by: "id", id }, (found) => reaches(caller, found));
  return chain && reaches(caller, chain) ? { kind, id, chain } : undefined;
}

/**
 * Nobody raises their own ceiling: an account's limits are set from a strict ancestor, a key's by its account's
 * master and account keys or from above, never by itself or its sub-keys. Throws Failure PERMISSION_DENIED.
 */
export function requireCeilingOf(caller: KeyView, node: ReachedNode): void {
  if (node.kind === "ACCOUNT") {
    if (node.chain.length === 1) throw denied("OWN_CEILING", "the root has no limits");
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

/** An account as the provider names it: by id, or as `org` or `org/sub`. Undefined for what names none. */
export function providerAccountName(text: string): AccountName | undefined {
  if (text === "") return undefined;
  if (isId("acc", text)) return { by: "id", id: text };
  const [organization, subaccount, ...more] = text.split("/");
  return more.length === 0 ? { by: "path", organization: organization!, subaccount } : undefined;
}

function readAccountName(text: string, caller: KeyView): AccountName | undefined {
  if (isProvider(caller)) return providerAccountName(text);
  if (text === "") return undefined;
  if (isId("acc", text)) return { by: "id", id: text };
  const organizationId = caller.chain[0]?.organizationId;
  return organizationId === undefined ? undefined : { by: "slug", organizationId, slug: text };
}
