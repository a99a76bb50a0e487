import type { AccountNode } from "@gatehouse/access";
import { AccountEntry } from "./entry.ts";

/**
 * The shared account entries. One stays here as long as anything in the cache points at it, because changes
 * find it through here: an entry dropped too early would be used, and never changed, for ever.
 */
export class AccountTable {
  readonly #entries = new Map<string, AccountEntry>();
  #root: string | undefined;

  /** The provider's, as long as anything is here. */
  get root(): AccountEntry | undefined {
    return this.#root === undefined ? undefined : this.#entries.get(this.#root);
  }

  get size(): number {
    return this.#entries.size;
  }

  get(accountId: string): AccountEntry | undefined {
    return this.#entries.get(accountId);
  }

  /** Takes accounts as read at `revision`. Hold their chain right after: what is never held is never forgotten. */
  take(accounts: readonly AccountNode[], revision: number): void {
    for (const account of accounts) {
      if (account.parentId === undefined) this.#root = account.id;
      const entry = this.#entries.get(account.id);
      if (entry === undefined) this.#entries.set(account.id, new AccountEntry(account, revision));
      else entry.update(account, revision);
    }
  }

  /** The entries from an account up to the root. Throws where one is missing: the source left it out. */
  chain(accountId: string): AccountEntry[] {
    const chain: AccountEntry[] = [];
    for (let id: string | undefined = accountId; id !== undefined; id = chain.at(-1)?.parentId) {
      const entry = this.#entries.get(id);
      if (entry === undefined) throw new Error(`the source answered without account ${id}`);
      chain.push(entry);
    }
    return chain;
  }

  hold(chain: readonly AccountEntry[]): void {
    for (const entry of chain) entry.references++;
  }

  release(chain: readonly AccountEntry[]): void {
    for (const entry of chain) {
      entry.references--;
      if (entry.references === 0) this.#entries.delete(entry.id);
    }
  }
}
