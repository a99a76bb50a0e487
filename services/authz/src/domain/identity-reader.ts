import type { MissBudget } from "@gatehouse/access";
import type { Freshness, Position } from "@gatehouse/changefeed";
import { failedPrecondition, overloaded } from "@gatehouse/service/failure";
import { hasReached, type Proven } from "./freshness-gate.ts";
import { GatheredRead } from "./gathered-read.ts";
import type { IdentityCache } from "./identity-cache.ts";
import type { ResolvedHashes, ResolvedKeys, ResolvedTarget } from "./resolved.ts";
import { during, type Trace } from "./trace.ts";

/** What is asked of identity on a miss. Every call settles within its own deadline. */
export interface IdentitySource {
  resolveKeys(keyIds: readonly string[], trace?: Trace): Promise<ResolvedKeys>;
  resolveHashes(hashes: readonly string[], trace?: Trace): Promise<ResolvedHashes>;
  resolveTarget(organizationId: string, account: string, trace?: Trace): Promise<ResolvedTarget>;
}

/** A read that came too late to be believed is read again, this often. */
const MAX_READS = 3;

/** Reads into the cache what it lacks. Calls that miss the same thing at the same time share one read. */
export class IdentityReader {
  readonly #source: IdentitySource;
  readonly #cache: IdentityCache;
  readonly #unknownHashes: MissBudget;
  readonly #keys: GatheredRead<ResolvedKeys>;
  readonly #hashes: GatheredRead<ResolvedHashes>;
  readonly #keyReads = new SharedReads();
  readonly #hashReads = new SharedReads();
  readonly #targetReads = new SharedReads();
  /** The furthest position that anything was read at. */
  #readAt: Position | undefined;

  constructor(source: IdentitySource, cache: IdentityCache, unknownHashes: MissBudget) {
    this.#source = source;
    this.#cache = cache;
    this.#unknownHashes = unknownHashes;
    this.#keys = new GatheredRead((keyIds, trace) => source.resolveKeys(keyIds, trace), MAX_NAMES);
    this.#hashes = new GatheredRead((hashes, trace) => source.resolveHashes(hashes, trace), MAX_NAMES);
  }

  /** Reads begun, and those that failed; each for all calls that missed the same. */
  get reads(): { readonly begun: number; readonly failed: number } {
    const all = [this.#keyReads, this.#hashReads, this.#targetReads];
    const sum = (of: (reads: SharedReads) => number) => all.reduce((total, reads) => total + of(reads), 0);
    return { begun: sum(({ begun }) => begun), failed: sum(({ failed }) => failed) };
  }

  /** Resolves once the key is in the cache, or known not to exist. Rejects where identity does not answer. */
  readKey(keyId: string, trace?: Trace): Promise<void> {
    return this.#keyReads.run("read key", keyId, trace, (part) =>
      this.#fill(
        () => this.#keys.ask(keyId, part),
        (resolved) => this.#cache.fillKey(keyId, resolved),
      ),
    );
  }

  /**
   * Resolves once the imported key with the hash is in the cache, or known not to exist. Rejects where identity does
   * not answer, and where so many are asked for that do not exist that this one has to wait: nothing but the answer
   * tells whether there is such a key.
   */
  readImported(hash: string, trace?: Trace): Promise<void> {
    return this.#hashReads.run("read imported key", hash, trace, (part) =>
      this.#fill(
        () =>
          this.#askWithinBudget(
            () => this.#hashes.ask(hash, part),
            ({ keyIds }) => keyIds.has(hash),
          ),
        (resolved) => this.#cache.fillImported(hash, resolved),
      ),
    );
  }

  /**
   * As `readKey`, for a key that is said to have signed: anybody can make up an id, which has no tag. So it is held to
   * the budget of imported keys.
   */
  readSigner(keyId: string, trace?: Trace): Promise<void> {
    // Apart from the reads of presented keys: what has no budget left fails for those who had to take of it.
    return this.#keyReads.run("read signing key", `signer ${keyId}`, trace, (part) =>
      this.#fill(
        () =>
          this.#askWithinBudget(
            () => this.#keys.ask(keyId, part),
            ({ keys }) => keys.has(keyId),
          ),
        (resolved) => this.#cache.fillKey(keyId, resolved),
      ),
    );
  }

  /**
   * Resolves once the name is in the cache, or known to mean nothing to keys of the account `asking`. Rejects where
   * identity does not answer.
   */
  readTarget(organizationId: string, account: string, asking: string, trace?: Trace): Promise<void> {
    const name = JSON.stringify([organizationId, account, asking]);
    return this.#targetReads.run("read account", name, trace, (part) =>
      this.#fill(
        () => this.#source.resolveTarget(organizationId, account, part),
        (resolved) => this.#cache.fillTarget(asking, account, resolved),
      ),
    );
  }

  /**
   * Follows a log up to a freshness token. False where the source cannot be reached.
   * Throws Failure FAILED_PRECONDITION where the log will not get there: the token is of another incarnation,
   * or ahead of a head read after it was shown.
   */
  async catchUp(proof: Proven, token: Freshness): Promise<boolean> {
    if (hasReached(proof, token)) return true;
    try {
      await proof.prove();
    } catch {
      return false;
    }
    if (hasReached(proof, token)) return true;
    throw failedPrecondition(
      "FRESHNESS_UNREACHABLE",
      `at_least_as_fresh: ${token.source} is not there; the token is ahead of it, or of a history that was replaced`,
    );
  }

  /**
   * The state that the cache rests on: where a follower is, or further, where something was read that is ahead of
   * it. Whoever is asked about a key that was read just now must have come as far.
   */
  latest(followed: Position | undefined): Position | undefined {
    const read = this.#readAt;
    if (read === undefined || followed === undefined) return followed;
    return read.incarnation === followed.incarnation && read.revision > followed.revision ? read : followed;
  }

  /** Reads until the cache believes what was read, or gives up for this time. */
  async #fill<R extends { readonly position: Position }>(
    ask: () => Promise<R>,
    store: (resolved: R) => boolean,
  ): Promise<void> {
    for (let read = 1; read <= MAX_READS; read++) {
      const resolved = await ask();
      this.#note(resolved.position);
      if (store(resolved)) return;
    }
  }

  async #askWithinBudget<R>(ask: () => Promise<R>, isThere: (resolved: R) => boolean): Promise<R> {
    if (!this.#unknownHashes.take()) throw overloaded("too many imported or signing keys that do not exist");
    const resolved = await ask();
    if (isThere(resolved)) this.#unknownHashes.giveBack();
    return resolved;
  }

  #note(position: Position): void {
    const last = this.#readAt;
    if (last?.incarnation !== position.incarnation || last.revision < position.revision)
      this.#readAt = position;
  }
}

/** Keys or hashes in one request, as the proto bounds it. */
const MAX_NAMES = 1000;

type Read = (trace: Trace | undefined) => Promise<void>;

/** One read at a time of each name, for all that wait for it. */
class SharedReads {
  begun = 0;
  failed = 0;
  readonly #underWay = new Map<string, { readonly done: Promise<void>; readonly trace: Trace | undefined }>();

  /** `what` names the part of each waiter's trace; the read itself is a part of the first one's. */
  run(what: string, name: string, trace: Trace | undefined, read: Read): Promise<void> {
    return during(trace, what, (part) => {
      const other = this.#underWay.get(name);
      if (other === undefined) return this.#begin(name, part, read);
      if (other.trace !== undefined) part?.link(other.trace);
      return other.done;
    });
  }

  #begin(name: string, trace: Trace | undefined, read: Read): Promise<void> {
    this.begun++;
    const done = read(trace)
      .catch((error) => {
        this.failed++;
        throw error;
      })
      .finally(() => this.#underWay.delete(name));
    this.#underWay.set(name, { done, trace });
    return done;
  }
}
