import type { Directory, KeyView } from "@gatehouse/access";
import { hashSecret } from "@gatehouse/keys";
import { unavailable } from "@gatehouse/service/failure";
import { isDoubted, type KeyEntry } from "./entry.ts";
import type { FreshnessGate, Proven } from "./freshness-gate.ts";
import type { IdentityCache } from "./identity-cache.ts";
import type { IdentityReader } from "./identity-reader.ts";

export interface CachedDirectoryOptions {
  readonly cache: IdentityCache;
  readonly identity: IdentityReader;
  readonly identityProof: Proven;
  readonly identityGate: FreshnessGate;
}

/** The keys that verifiers present, under the same rules of freshness as the keys that they ask about. */
export class CachedDirectory implements Directory {
  readonly #options: CachedDirectoryOptions;

  constructor(options: CachedDirectoryOptions) {
    this.#options = options;
  }

  warm(keyId: string): KeyView | undefined {
    return this.#usable(this.#options.cache.key(keyId));
  }

  findImported(presented: string): KeyView | undefined | Promise<KeyView | undefined> {
    const { cache, identity } = this.#options;
    if (!cache.mayBeImported(presented)) return undefined;
    const hash = hashSecret(presented);
    return this.#find({
      entry: () => cache.imported(hash),
      isUnknown: () => cache.isUnknownHash(hash),
      read: () => identity.readImported(hash),
    });
  }

  findKey(keyId: string): KeyView | undefined | Promise<KeyView | undefined> {
    const { cache, identity } = this.#options;
    return this.#find({
      entry: () => cache.key(keyId),
      isUnknown: () => cache.isUnknownKey(keyId),
      read: () => identity.readKey(keyId),
    });
  }

  #find(sought: Sought): KeyView | undefined | Promise<KeyView | undefined> {
    const entry = sought.entry();
    return this.#usable(entry) ?? this.#findLater(sought, entry);
  }

  async #findLater(
    { entry, isUnknown, read }: Sought,
    first: KeyEntry | undefined,
  ): Promise<KeyView | undefined> {
    const { identityProof, identityGate } = this.#options;
    let found = first;
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
      // A caller found out already; were each to wait for it again, a silent identity would cost each a timeout.
      if (identityGate.check(identityProof.ageMs()) === "too-old") break;
      if (found === undefined) {
        if (isUnknown()) return undefined;
        if (identityGate.unreachable) break;
        await read();
      } else if (!(await identityGate.prove()) && this.#usable(found) === undefined) {
        break;
      }
      found = entry();
      const view = this.#usable(found);
      if (view !== undefined) return view;
    }
    throw unavailable("the presented key cannot be checked now");
  }

  #usable(entry: KeyEntry | undefined): KeyView | undefined {
    const { identityProof, identityGate } = this.#options;
    if (entry === undefined) return undefined;
    const freshness = identityGate.check(identityProof.ageMs());
    if (freshness !== "fresh" && freshness !== "stale") return undefined;
    const doubted = isDoubted(entry, entry.accounts, identityProof.provenProof) && !identityGate.unreachable;
    return doubted ? undefined : entry;
  }
}

/** How a key is looked for. */
interface Sought {
  readonly entry: () => KeyEntry | undefined;
  readonly isUnknown: () => boolean;
  readonly read: () => Promise<void>;
}

/** Missing, then doubted, then missing again, with room for a race on each. */
const MAX_ATTEMPTS = 6;
