import {
  type AccountNode,
  type Directory,
  type KeyView,
  MissBudget,
  UNKNOWN_HASHES,
} from "@gatehouse/access";
import { hashSecret } from "@gatehouse/keys";
import { overloaded } from "@gatehouse/service/failure";

/** An account as a caller names it: an id, a slug within an organization, or the provider's `org`, `org/sub` and own slug. */
export type AccountName =
  | { readonly by: "id"; readonly id: string }
  /** A subaccount of the organization, else the organization itself. */
  | { readonly by: "slug"; readonly organizationId: string; readonly slug: string }
  | { readonly by: "path"; readonly organization: string; readonly subaccount: string | undefined };

/** What metering knows of identity: its own copy, kept by the change feed. Each answer is of one statement. */
export interface Mirror {
  /**
   * What is not `sought` is looked for as long as what is not there, and answered all the same: how long an answer
   * takes must not tell that there is something out of the caller's reach.
   */
  findKey(keyId: string, sought?: (view: KeyView) => boolean): Promise<KeyView | undefined>;
  /** The account and its ancestors, root last. */
  findChain(
    name: AccountName,
    sought?: (chain: readonly AccountNode[]) => boolean,
  ): Promise<readonly AccountNode[] | undefined>;
  hasMeter(name: string): Promise<boolean>;
  hasPlan(name: string): Promise<boolean>;
}

/** The mirror as it is stored, with what only telling who calls takes. */
export interface StoredMirror extends Mirror {
  /** The key that has a credential with the hash, current or in its grace. */
  findImported(hash: string): Promise<KeyView | undefined>;
  /** What imported keys begin with. */
  importPrefixes(): Promise<readonly string[]>;
}

/** How fresh the mirror is known to be. */
export interface Proof {
  /** Milliseconds since the last moment of which it is proven. */
  ageMs(): number;
  /** Has identity told of a change since that may not be in the mirror yet? */
  isDoubted(): boolean;
  /** Proves it as of now, in bounded time. Throws Failure SOURCE_UNAVAILABLE where identity does not answer. */
  prove(): Promise<void>;
}

/** Older than this, the mirror is not believed without asking: a key may have been revoked since. */
const MAX_AGE_MS = 1000;

/**
 * The mirror as the control plane reads it: never older than a second, nor than a change that a bell told of, and
 * never "not there" for what was made a moment ago. What it does not find it looks for again once it is proven fresh, so that undefined means
 * that there is no such thing.
 */
export class FreshMirror implements Directory, Mirror {
  readonly #mirror: StoredMirror;
  readonly #proof: Proof;
  readonly #nowMs: () => number;
  readonly #unknownHashes: MissBudget;
  #prefixes: Promise<readonly string[]> = Promise.resolve([]);
  #prefixesReadMs = Number.NEGATIVE_INFINITY;

  constructor(mirror: StoredMirror, proof: Proof, nowMs = () => performance.now()) {
    this.#mirror = mirror;
    this.#proof = proof;
    this.#nowMs = nowMs;
    this.#unknownHashes = new MissBudget(UNKNOWN_HASHES, nowMs);
  }

  findKey(keyId: string, sought?: (view: KeyView) => boolean): Promise<KeyView | undefined> {
    return this.#find(() => this.#mirror.findKey(keyId), sought);
  }

  /**
   * Throws Failure OVERLOADED where so many are asked for that do not exist that this one has to wait: what begins as
   * imported keys do can be made up without a pepper.
   */
  async findImported(presented: string): Promise<KeyView | undefined> {
    if (!(await this.#importPrefixes()).some((prefix) => presented.startsWith(prefix))) return undefined;
    if (!this.#unknownHashes.take()) throw overloaded("too many imported keys that do not exist");
    const hash = hashSecret(presented);
    const found = await this.#find(() => this.#mirror.findImported(hash));
    if (found !== undefined) this.#unknownHashes.giveBack();
    return found;
  }

  findChain(
    name: AccountName,
    sought?: (chain: readonly AccountNode[]) => boolean,
  ): Promise<readonly AccountNode[] | undefined> {
    return this.#find(() => this.#mirror.findChain(name), sought);
  }

  async hasMeter(name: string): Promise<boolean> {
    return (await this.#find(async () => (await this.#mirror.hasMeter(name)) || undefined)) ?? false;
  }

  async hasPlan(name: string): Promise<boolean> {
    return (await this.#find(async () => (await this.#mirror.hasPlan(name)) || undefined)) ?? false;
  }

  // Read once a second at most, whatever is presented.
  #importPrefixes(): Promise<readonly string[]> {
    const nowMs = this.#nowMs();
    if (nowMs - this.#prefixesReadMs > MAX_AGE_MS) {
      this.#prefixesReadMs = nowMs;
      this.#prefixes = this.#mirror.importPrefixes();
    }
    return this.#prefixes;
  }

  async #find<T>(
    read: () => Promise<T | undefined>,
    sought: (found: T) => boolean = () => true,
  ): Promise<T | undefined> {
    if (this.#proof.ageMs() <= MAX_AGE_MS && !this.#proof.isDoubted()) {
      const found = await read();
      if (found !== undefined && sought(found)) return found;
    }
    await this.#proof.prove();
    return read();
  }
}
