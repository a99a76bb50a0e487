import { isInSubtree, type KeyNode, type KeyView } from "@gatehouse/access";
import type { AccountEntry } from "./entry.ts";

/** Whether an account is on a chain, and the verifier's own or below it. */
export function seesAccount(verifier: KeyView, chain: readonly AccountEntry[], accountId: string): boolean {
  const at = chain.findIndex(({ id }) => id === accountId);
  return at >= 0 && isInSubtree(verifier, at === 0 ? chain : chain.slice(at));
}

/**
 * What a verifier may be told of, of a key that it sees: the key and its parent key, and the accounts from the
 * verifier's own downwards. That something above it decided is told, which account that is, is not.
 */
export class Sight {
  readonly #accounts: ReadonlyMap<string, AccountEntry>;
  readonly #keys: ReadonlyMap<string, KeyNode>;

  /** `chains` are those of the key's account and of the account acted on. */
  constructor(
    verifier: KeyView,
    keys: readonly (KeyNode | undefined)[],
    chains: readonly (readonly AccountEntry[])[],
  ) {
    const seen = chains.flatMap((chain) => chain.filter(({ id }) => seesAccount(verifier, chain, id)));
    this.#accounts = new Map(seen.map((account) => [account.id, account]));
    this.#keys = new Map(keys.flatMap((key) => (key === undefined ? [] : [[key.id, key]])));
  }

  sees(nodeId: string): boolean {
    return this.#accounts.has(nodeId) || this.#keys.has(nodeId);
  }

  /** The id of a node, where it may be told. */
  idOf(nodeId: string): string | undefined {
    return this.sees(nodeId) ? nodeId : undefined;
  }

  /** What a node is called, such as `the key "ci"`. */
  nameOf(nodeId: string): string {
    const key = this.#keys.get(nodeId);
    if (key !== undefined) return `the key "${key.name}"`;
    const account = this.#accounts.get(nodeId);
    return account === undefined ? "an account above the verifier's" : `the account "${account.slug}"`;
  }
}
