import type { AccountNode, KeyNode } from "@gatehouse/access";
import { ChangeRing, type Position, type Replica } from "@gatehouse/changefeed";
import { AccountTable } from "./account-table.ts";
import { type AccountEntry, KeyEntry, TargetEntry } from "./entry.ts";
import { bytesOfKey, TARGET_BYTES } from "./entry-bytes.ts";
import {
  chainOf,
  type ResolvedHashes,
  type ResolvedKeys,
  type ResolvedTarget,
  required,
} from "./resolved.ts";
import { S3Fifo } from "./s3-fifo.ts";
import { SharedLists } from "./shared-lists.ts";
import { UnknownNames } from "./unknown-names.ts";

/**
 * Keys, and the accounts that master keys name, with all that they depend on, kept true by identity's feed.
 *
 * What it defends against is the late fill: an answer read from the source before a change, arriving after the
 * change was applied here, would bring a revoked key back to life. So every fill says at which revision it was
 * read, and is stored only if nothing that it speaks of has changed since (the ring remembers what has, and
 * counts what it no longer remembers as changed). Revoked and closed are final besides.
 */

/** A node that changed, with its state at that revision or later. */
export interface NodeChange {
  readonly revision: number;
  readonly key?: KeyNode | undefined;
  readonly account?: AccountNode | undefined;
}

export interface IdentityCacheOptions {
  /** Keys at most; as many named accounts. */
  readonly capacity: number;
  /** What all entries may weigh together, with the accounts that they share; by default, any number. */
  readonly bytes?: number;
  /** How long an entry lives at most; each gets up to a tenth less, so that they do not all end at once. */
  readonly lifetimeMs: number;
  /** A clock that is never set: stepped back, it would lengthen lives. */
  readonly nowMs: () => number;
}

/** What changed and is remembered: of 10 000 keys a second, each with its hash, 1.6 s at least. A fill's deadline is 1 s. */
const RING_CAPACITY = 32_768;
const NONE: readonly string[] = [];

export class IdentityCache implements Replica<NodeChange> {
  readonly #options: IdentityCacheOptions;
  readonly #bytesMax: number;
  readonly #accounts = new AccountTable();
  readonly #lists = new SharedLists();
  readonly #keys: S3Fifo<KeyEntry>;
  readonly #targets: S3Fifo<TargetEntry>;
  readonly #unknown: UnknownNames;
  /** Apart from the others: these can be made up without a pepper, and would push them out. */
  readonly #unknownHashes: UnknownNames;
  /** The ids of imported keys in the cache, by hash. */
  readonly #imported = new Map<string, string>();
  #ring = new ChangeRing(RING_CAPACITY, 0);
  #position: Position | undefined;
  #accountsChangedAt = 0;
  /** Fills that came too late and were dropped. */
  fillsDiscarded = 0;
  /** Keys that were asked for: here, not here, and known not to exist. Those that had outlived their time are counted. */
  hits = 0;
  misses = 0;
  expirations = 0;

  constructor(options: IdentityCacheOptions) {
    this.#options = options;
    this.#bytesMax = options.bytes ?? Number.POSITIVE_INFINITY;
    const dropped = (entry: KeyEntry) => {
      entry.dead = true;
      this.#accounts.release(entry.accounts);
      this.#lists.release(entry.key);
      if (entry.importedHash !== undefined) this.#imported.delete(entry.importedHash);
    };
    this.#keys = new S3Fifo(options.capacity, dropped, ({ key }) => bytesOfKey(key));
    this.#targets = new S3Fifo(
      options.capacity,
      (entry) => this.#accounts.release(entry.accounts),
      () => TARGET_BYTES,
    );
    this.#unknown = new UnknownNames(options.nowMs);
    this.#unknownHashes = new UnknownNames(options.nowMs);
  }

  get size(): number {
    return this.#keys.size;
  }

  /** What its entries weigh, as estimated; what is remembered not to be there has bounds of its own. */
  get bytes(): number {
    return this.#keys.weight + this.#targets.weight + this.#accounts.bytes + this.#lists.bytes;
  }

  /** How many entries there are of each kind, and how many had to make room for others. */
  get sizes() {
    return {
      keys: this.#keys.size,
      accounts: this.#accounts.size,
      targets: this.#targets.size,
      unknown: this.#unknown.size + this.#unknownHashes.size,
    };
  }

  /** Times that what is known not to exist was asked for again. */
  get unknownHits(): number {
    return this.#unknown.hits + this.#unknownHashes.hits;
  }

  get evictions() {
    return {
      keys: this.#keys.evictions,
      targets: this.#targets.evictions,
      unknown: this.#unknown.evictions + this.#unknownHashes.evictions,
    };
  }

  /** The provider's account, once anything was read. */
  get rootId(): string | undefined {
    return this.#accounts.root?.id;
  }

  /** A key's living entry. */
  key(keyId: string): KeyEntry | undefined {
    const entry = this.#living(keyId);
    if (entry === undefined) this.misses++;
    else this.hits++;
    return entry;
  }

  #living(keyId: string): KeyEntry | undefined {
    const entry = this.#keys.get(keyId);
    if (entry === undefined) return undefined;
    const isOver = entry.expiresAtMs <= this.#options.nowMs();
    if (isOver) this.expirations++;
    if (entry.parentEntry?.dead || isOver) {
      this.#keys.delete(keyId);
      return undefined;
    }
    // Used through its sub-keys only, a parent key would look idle, and its eviction takes them along.
    if (entry.parent !== undefined) this.#keys.get(entry.parent.id);
    return entry;
  }

  /** An imported key's living entry, by the hash of what was presented. */
  imported(hash: string): KeyEntry | undefined {
    const keyId = this.#imported.get(hash);
    if (keyId !== undefined) return this.key(keyId);
    this.misses++;
    return undefined;
  }

  /** Does it begin as imported keys do? True where that is not known, before anything was read. */
  mayBeImported(presented: string): boolean {
    const { root } = this.#accounts;
    if (root === undefined) return true;
    for (const prefix of root.providerRules?.importPrefixes ?? NONE)
      if (presented.startsWith(prefix)) return true;
    return false;
  }

  /** The account that a name means to the keys of the account `asking`: that one, or one below it. */
  target(asking: string, name: string): TargetEntry | undefined {
    const entry = this.#targets.get(targetKey(asking, name));
    if (entry === undefined || entry.expiresAtMs > this.#options.nowMs()) return entry;
    this.#targets.delete(targetKey(asking, name));
    return undefined;
  }

  isUnknownKey(keyId: string): boolean {
    return this.#unknown.has(keyId);
  }

  isUnknownHash(hash: string): boolean {
    return this.#unknownHashes.has(hash);
  }

  isUnknownTarget(asking: string, name: string): boolean {
    return this.#unknown.has(targetKey(asking, name));
  }

  /** Stores what the source answered for a key. False: it came too late to be believed; ask again. */
  fillKey(keyId: string, { position, keys, accounts }: ResolvedKeys): boolean {
    const key = keys.get(keyId);
    const parent = key?.parentKeyId === undefined ? undefined : required(keys, key.parentKeyId);
    const chain = key === undefined ? [] : chainOf(key.accountId, accounts);
    const about = [keyId, ...(parent === undefined ? [] : [parent.id]), ...chain.map(({ id }) => id)];
    if (!this.#believes(position, about)) return false;
    if (key === undefined) {
      this.#unknown.remember(keyId);
      return true;
    }
    this.#accounts.take(chain, position.revision);
    const held = this.#accounts.chain(key.accountId);
    // Held throughout: storing can drop an outlived entry, and with it the last that points at these accounts.
    this.#accounts.hold(held);
    const parentEntry = parent && this.#store(parent, undefined, held, position.revision);
    this.#store(key, parentEntry, held, position.revision);
    this.#accounts.release(held);
    this.#makeRoom();
    return true;
  }

  /** Stores what the source answered for a hash. False: it came too late to be believed; ask again. */
  fillImported(hash: string, resolved: ResolvedHashes): boolean {
    const keyId = resolved.keyIds.get(hash);
    if (keyId === undefined) {
      if (!this.#believes(resolved.position, [hash])) return false;
      this.#unknownHashes.remember(hash);
      return true;
    }
    required(resolved.keys, keyId);
    if (!this.fillKey(keyId, resolved)) return false;
    const entry = this.#keys.peek(keyId);
    if (entry !== undefined) {
      entry.importedHash = hash;
      this.#imported.set(hash, keyId);
    }
    return true;
  }

  /** Stores what the source answered for a name. False: it came too late to be believed; ask again. */
  fillTarget(asking: string, name: string, { position, accountId, accounts }: ResolvedTarget): boolean {
    const chain = accountId === undefined ? [] : chainOf(accountId, accounts);
    // What a name means never changes: a slug is never freed, and nobody else's name is taken.
    const about = chain.map(({ id }) => id);
    if (!this.#believes(position, about)) return false;
    // What is not below who asks is not there, neither by the answer nor by the time that it takes.
    if (accountId === undefined || !about.includes(asking)) {
      // True only until the next account changes: no change says which name it gives a meaning to.
      if (position.revision < this.#accountsChangedAt) {
        this.fillsDiscarded++;
        return false;
      }
      this.#unknown.remember(targetKey(asking, name));
      return true;
    }
    this.#accounts.take(chain, position.revision);
    const held = this.#accounts.chain(accountId);
    this.#accounts.hold(held);
    this.#targets.set(new TargetEntry(targetKey(asking, name), held, this.#expiryMs()));
    this.#makeRoom();
    return true;
  }

  /** Casts doubt on what a bell named: it is not used until a proof begun later than `proof` is here. */
  doubt(ids: readonly string[], proof: number): void {
    for (const id of ids) {
      const entry = this.#accounts.get(id) ?? this.#keys.peek(id);
      if (entry !== undefined) entry.doubtedAtProof = proof;
    }
  }

  position(): Position | undefined {
    return this.#position;
  }

  apply(after: Position, changes: readonly NodeChange[]): Position {
    for (const { revision, key, account } of changes) {
      if (key !== undefined) this.#applyKey(key, revision);
      if (account !== undefined) this.#applyAccount(account, revision);
    }
    this.#makeRoom();
    this.#position = { ...after, revision: changes.at(-1)?.revision ?? after.revision };
    return this.#position;
  }

  restart(head: Position): Position {
    this.#keys.clear();
    this.#targets.clear();
    this.#unknown.clear();
    this.#unknownHashes.clear();
    this.#ring = new ChangeRing(RING_CAPACITY, head.revision);
    this.#accountsChangedAt = head.revision;
    this.#position = head;
    return head;
  }

  #applyKey(key: KeyNode, revision: number): void {
    this.#ring.record(key.id, revision);
    this.#unknown.delete(key.id);
    for (const hash of key.secretHashes) {
      this.#ring.record(hash, revision);
      this.#unknownHashes.delete(hash);
    }
    const entry = this.#keys.peek(key.id);
    if (entry === undefined || entry.revision > revision) return;
    const changed = new KeyEntry(key, entry.parentEntry, entry.accounts, revision, entry.expiresAtMs);
    // A bell may have told of a later change than this one.
    changed.doubtedAtProof = entry.doubtedAtProof;
    changed.importedHash = entry.importedHash;
    this.#put(changed);
  }

  #applyAccount(account: AccountNode, revision: number): void {
    this.#ring.record(account.id, revision);
    this.#accountsChangedAt = revision;
    // It may be the one that a name was found not to mean.
    this.#unknown.clear();
    this.#accounts.update(account, revision);
  }

  #believes(position: Position, about: readonly string[]): boolean {
    const believed =
      position.incarnation === this.#position?.incarnation &&
      !about.some((id) => this.#ring.changedAfter(id, position.revision));
    if (!believed) this.fillsDiscarded++;
    return believed;
  }

  // What is here is kept true by the feed, so no fill replaces it: not a revoked key by an older state of it,
  // not a parent key by its equal, which would kill the entries of its other sub-keys.
  #store(
    key: KeyNode,
    parent: KeyEntry | undefined,
    accounts: readonly AccountEntry[],
    revision: number,
  ): KeyEntry {
    return this.#living(key.id) ?? this.#put(new KeyEntry(key, parent, accounts, revision, this.#expiryMs()));
  }

  // Held before it is set: replacing an entry releases the same accounts and lists.
  #put(entry: KeyEntry): KeyEntry {
    this.#accounts.hold(entry.accounts);
    this.#lists.hold(entry.key);
    this.#keys.set(entry);
    if (entry.importedHash !== undefined) this.#imported.set(entry.importedHash, entry.key.id);
    return entry;
  }

  // Accounts go with the last that points at them. One key stays: it may be what somebody waits for.
  #makeRoom(): void {
    while (this.bytes > this.#bytesMax && this.#keys.size + this.#targets.size > 1) {
      (this.#targets.weight > this.#keys.weight ? this.#targets : this.#keys).evict();
    }
  }

  #expiryMs(): number {
    const { nowMs, lifetimeMs } = this.#options;
    return Math.round(nowMs() + lifetimeMs * (1 - Math.random() / 10));
  }
}

// Ids and slugs have no space, so two pairs never make one key.
function targetKey(asking: string, name: string): string {
  return `${asking} ${name}`;
}
