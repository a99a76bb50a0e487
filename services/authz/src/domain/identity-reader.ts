import type { MissBudget } from "@gatehouse/access";
import type { Freshness, Position } from "@gatehouse/changefeed";
import { failedPrecondition, overloaded } from "@gatehouse/service/failure";
import type { Proven } from "./freshness-gate.ts";
import { GatheredRead } from "./gathered-read.ts";
import type { IdentityCache, ResolvedHashes, ResolvedKeys, ResolvedTarget } from "./identity-cache.ts";

/** What is asked of identity on a miss. Every call settles within its own deadline. */
export interface IdentitySource {
  resolveKeys(keyIds: readonly string[]): Promise<ResolvedKeys>;
  resolveHashes(hashes: readonly string[]): Promise<ResolvedHashes>;
  resolveTarget(organizationId: string, account: string): Promise<ResolvedTarget>;
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
  readonly #keyReads = new Map<string, Promise<void>>();
  readonly #hashReads = new Map<string, Promise<void>>();
  readonly #targetReads = new Map<string, Promise<void>>();
  /** The furthest position that anything was read at. */
  #readAt: Position | undefined;

  constructor(source: IdentitySource, cache: IdentityCache, unknownHashes: MissBudget) {
    this.#source = source;
    this.#cache = cache;
    this.#unknownHashes = unknownHashes;
    this.#keys = new GatheredRead((keyIds) => source.resolveKeys(keyIds), MAX_NAMES);
    this.#hashes = new GatheredRead((hashes) => source.resolveHashes(hashes), MAX_NAMES);
  }

  /** Resolves once the key is in the cache, or known not to exist. Rejects where identity does not answer. */
  readKey(keyId: string): Promise<void> {
    return shared(this.#keyReads, keyId, async () => {
      for (let read = 1; read <= MAX_READS; read++) {
        const resolved = await this.#keys.ask(keyId);
        this.#note(resolved.position);
        if (this.#cache.fillKey(keyId, resolved)) return;
      }
    });
  }

  /**
   * Resolves once the imported key with the hash is in the cache, or known not to exist. Rejects where identity does
   * not answer, and where so many are asked for that do not exist that this one has to wait: nothing but the answer
   * tells whether there is such a key.
   */
  readImported(hash: string): Promise<void> {
    return shared(this.#hashReads, hash, async () => {
      for (let read = 1; read <= MAX_READS; read++) {
        if (!this.#unknownHashes.take()) throw overloaded("too many imported keys that do not exist");
        const resolved = await this.#hashes.ask(hash);
        this.#note(resolved.position);
        if (resolved.keyIds.has(hash)) this.#unknownHashes.giveBack();
        if (this.#cache.fillImported(hash, resolved)) return;
      }
    });
  }

  /** Resolves once the name is in the cache, or known to mean nothing. Rejects where identity does not answer. */
  readTarget(organizationId: string, account: string): Promise<void> {
    return shared(this.#targetReads, JSON.stringify([organizationId, account]), async () => {
      for (let read = 1; read <= MAX_READS; read++) {
        const resolved = await this.#source.resolveTarget(organizationId, account);
        this.#note(resolved.position);
        if (this.#cache.fillTarget(organizationId, account, resolved)) return;
      }
    });
  }

  /**
   * Follows a log up to a freshness token. False where the source cannot be reached.
   * Throws Failure FAILED_PRECONDITION where the log will not get there: the token is of another incarnation,
   * or ahead of a head read after it was shown.
   */
  async catchUp(proof: Proven, token: Freshness): Promise<boolean> {
    try {
      await proof.prove();
    } catch {
      return false;
    }
    const { position } = proof;
    if (position?.incarnation === token.incarnation && position.revision >= token.revision) return true;
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

  #note(position: Position): void {
    const last = this.#readAt;
    if (last?.incarnation !== position.incarnation || last.revision < position.revision)
      this.#readAt = position;
  }
}

/** Keys or hashes in one request, as the proto bounds it. */
const MAX_NAMES = 1000;

function shared(reads: Map<string, Promise<void>>, name: string, read: () => Promise<void>): Promise<void> {
  const under = reads.get(name);
  if (under !== undefined) return under;
  const promise = read().finally(() => reads.delete(name));
  reads.set(name, promise);
  return promise;
}
