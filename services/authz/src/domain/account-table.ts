import type { AccountNode } from "@gatehouse/access";
import { AccountEntry } from "./entry.ts";
import { bytesOfAccount } from "./entry-bytes.ts";

/**
 * The shared account entries. One stays here as long as anything in the cache points at it, because changes
 * find it through here: an entry dropped too early would be used, and never changed, for ever.
 */
export class AccountTable {
  readonly #entries = new Map<string, AccountEntry>();
  #root: string | undefined;
  #bytes = 0;

  /** The provider's, as long as anything is here. */
  get root(): AccountEntry | undefined {
    return this.#root === undefined ? undefined : this.#entries.get(this.#root);
  }

  get size(): number {
    return this.#entries.size;
  }

  /** What all of them weigh. */
  get bytes(): number {
    return this.#bytes;
  }

  get(accountId: string): AccountEntry | undefined {
    return this.#entries.get(accountId);
  }

  /** Takes accounts as read at `revision`. Hold their chain right after: what is never held is never forgotten. */
  take(accounts: readonly AccountNode[], revision: number): void {
    for (const account of accounts) {
      if (account.parentId === undefined) this.#root = account.id;
      if (!this.update(account, revision)) this.#add(new AccountEntry(account, revision));
    }
  }

  /** Takes the state of an account, if that is here. */
  update(account: AccountNode, revision: number): boolean {
    const entry = this.#entries.get(account.id);
    if (entry === undefined) return false;
    entry.update(account, revision);
    this.#weigh(entry, bytesOfAccount(entry));
    return true;
  }

  /**
   * The entries from an account up to the root, as one list for all that hangs below it. Throws where one is missing:
   * the source left it out.
   */
  chain(accountId: string): readonly AccountEntry[] {
    const entry = this.#entries.get(accountId);
    if (entry === undefined) throw new Error(`the source answered without account ${accountId}`);
    // Accounts never move, and whoever holds one holds all above it.
    entry.chain ??= entry.parentId === undefined ? [entry] : [entry, ...this.chain(entry.parentId)];
    return entry.chain;
  }

  hold(chain: readonly AccountEntry[]): void {
    for (const entry of chain) entry.references++;
  }

  release(chain: readonly AccountEntry[]): void {
    for (const entry of chain) {
      entry.references--;
      if (entry.references === 0) {
        this.#entries.delete(entry.id);
        this.#weigh(entry, 0);
      }
    }
  }

  #add(entry: AccountEntry): void {
    this.#entries.set(entry.id, entry);
    this.#weigh(entry, bytesOfAccount(entry));
  }

  #weigh(entry: AccountEntry, bytes: number): void {
    this.#bytes += bytes - entry.bytes;
    entry.bytes = bytes;
  }
}
