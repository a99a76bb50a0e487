import type { AccountNode, KeyNode } from "@gatehouse/access";
import type { Position } from "@gatehouse/changefeed";

/** What identity answers when asked for keys: true at one position. */
export interface ResolvedKeys {
  readonly position: Position;
  /** Those of the asked keys that exist, and their parent keys, by id. */
  readonly keys: ReadonlyMap<string, KeyNode>;
  /** Their accounts, up to the root, by id. */
  readonly accounts: ReadonlyMap<string, AccountNode>;
}

/** What identity answers when asked for imported keys: those that exist, and their parent keys. */
export interface ResolvedHashes extends ResolvedKeys {
  /** The key's id by hash. A hash that is not here is no key's. */
  readonly keyIds: ReadonlyMap<string, string>;
}

/** What identity answers when asked for an account by name. */
export interface ResolvedTarget {
  readonly position: Position;
  /** Undefined: there is none by that name. */
  readonly accountId: string | undefined;
  /** Its chain, by id. */
  readonly accounts: ReadonlyMap<string, AccountNode>;
}

/** The accounts from one up to the root. Throws where one is missing. */
export function chainOf(accountId: string, accounts: ReadonlyMap<string, AccountNode>): AccountNode[] {
  const chain = [required(accounts, accountId)];
  for (let at = chain[0]!; at.parentId !== undefined; ) {
    at = required(accounts, at.parentId);
    chain.push(at);
  }
  return chain;
}

/** A node that must be in an answer. Throws where the source left it out. */
export function required<T>(nodes: ReadonlyMap<string, T>, id: string): T {
  const node = nodes.get(id);
  if (node === undefined) throw new Error(`the source answered without ${id}`);
  return node;
}
