import { isInSubtree, type KeyView, secretMatches } from "@gatehouse/access";
import type { Moment } from "@gatehouse/changefeed";
import { hashSecret, type KeyFormat } from "@gatehouse/keys";
import type { KeyEntry } from "./entry.ts";
import type { IdentityCache } from "./identity-cache.ts";
import type { IdentityReader } from "./identity-reader.ts";
import { notFound, type Refusal } from "./refusal.ts";
import type { Signatures } from "./signatures.ts";
import type { Trace } from "./trace.ts";
import type { VerifyCall } from "./verify-call.ts";

export interface CredentialsOptions {
  readonly format: KeyFormat;
  readonly cache: IdentityCache;
  readonly identity: IdentityReader;
  readonly signatures: Pick<Signatures, "faultOf" | "checkInVain">;
}

/**
 * Whose call it is: the key that was presented, was imported, or signed the call. A presented key says its id and is
 * tagged; an imported one is known by its hash alone, and a signed call names a key that anybody could name: only
 * looking tells whether there is one of these, which is why looking for them is held to a budget.
 */
export class Credentials {
  readonly #options: CredentialsOptions;

  constructor(options: CredentialsOptions) {
    this.#options = options;
  }

  /** The key's id; undefined where what was presented may be an imported key, which says of itself only that. */
  keyIdOf({ presented, signed }: VerifyCall): string | undefined {
    return signed === undefined ? this.#options.format.parse(presented)?.keyId : signed.keyId;
  }

  entryOf(keyId: string | undefined, { presented }: VerifyCall): KeyEntry | undefined {
    const { cache } = this.#options;
    return keyId === undefined ? cache.imported(hashSecret(presented)) : cache.key(keyId);
  }

  /** Is it known, without asking, that there is no such key? */
  isNone(keyId: string | undefined, { presented, signed }: VerifyCall): boolean {
    const { cache, format } = this.#options;
    if (keyId === undefined) return cache.isUnknownHash(hashSecret(presented));
    return cache.isUnknownKey(keyId) || (signed === undefined && !format.authentic(presented));
  }

  /** What a call of no key is answered, no sooner than one whose signature does not hold. */
  none({ signed }: VerifyCall, now: Moment): Refusal {
    if (signed !== undefined) this.#options.signatures.checkInVain(signed, now);
    return notFound;
  }

  /** Resolves once the key is in the cache, or known not to exist. */
  read(
    keyId: string | undefined,
    { presented, signed }: VerifyCall,
    trace: Trace | undefined,
  ): Promise<void> {
    const { identity } = this.#options;
    if (keyId === undefined) return identity.readImported(hashSecret(presented), trace);
    return signed === undefined ? identity.readKey(keyId, trace) : identity.readSigner(keyId, trace);
  }

  /**
   * What is wrong with the credential; undefined where it is the key's, and the verifier may see the key. A key that
   * signs is never presented, since it has no hash, and one that is presented never signs.
   */
  faultOf(entry: KeyEntry, call: VerifyCall, verifier: KeyView, now: Moment): Refusal | undefined {
    const { presented, signed } = call;
    if (signed === undefined) {
      const isTheirs = secretMatches(entry, presented, now.wallMs);
      return isTheirs && isInSubtree(verifier, entry.accounts) ? undefined : notFound;
    }
    const { key, parent } = entry;
    const isGone = key.status === "REVOKED" || parent?.status === "REVOKED";
    if (key.signing === undefined || isGone || !isInSubtree(verifier, entry.accounts)) {
      return this.none(call, now);
    }
    return this.#options.signatures.faultOf(entry, key.signing, signed, now);
  }
}
