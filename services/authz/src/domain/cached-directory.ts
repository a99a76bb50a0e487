import type { Directory, KeyView } from "@gatehouse/access";
import { unavailable } from "@gatehouse/service/failure";
import type { FreshnessGate, Proven } from "./freshness-gate.ts";
import { type IdentityCache, isDoubted } from "./identity-cache.ts";
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
    const { cache, identityProof, identityGate } = this.#options;
    const freshness = identityGate.check(identityProof.ageMs());
    if (freshness !== "fresh" && freshness !== "stale") return undefined;
    const entry = cache.key(keyId);
    if (entry === undefined) return undefined;
    const doubted = isDoubted(entry, entry.accounts, identityProof.provenProof) && !identityGate.unreachable;
    return doubted ? undefined : entry.view;
  }

  async findKey(keyId: string): Promise<KeyView | undefined> {
    const { cache, identity, identityProof, identityGate } = this.#options;
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
      const view = this.warm(keyId);
      if (view !== undefined) return view;
      // A caller found out already; were each to wait for it again, a silent identity would cost each a timeout.
      if (identityGate.check(identityProof.ageMs()) === "too-old") break;
      if (cache.key(keyId) === undefined) {
        if (cache.isUnknownKey(keyId)) return undefined;
        await identity.readKey(keyId);
      } else if (!(await identityGate.prove()) && this.warm(keyId) === undefined) {
        break;
      }
    }
    throw unavailable("the presented key cannot be checked now");
  }
}

/** Missing, then doubted, then missing again, with room for a race on each. */
const MAX_ATTEMPTS = 6;
