import type { SigningNode } from "@gatehouse/access";
import type { Moment } from "@gatehouse/changefeed";
import { readSignature, signatureHolds, type VerifyingKey, verifyingKey } from "@gatehouse/keys";
import type { KeyEntry } from "./entry.ts";
import type { NonceSet, NonceUse } from "./nonce-set.ts";
import type { Receipt } from "./receipt.ts";
import { type Refusal, undecidable, undecidableFor } from "./refusal.ts";
import type { SealedValues } from "./sealed-values.ts";
import type { SignedRequest } from "./signed-request.ts";
import type { Trace } from "./trace.ts";

/**
 * Signed requests: whether a signature holds, and that a request is admitted once.
 *
 * A nonce is looked at when the signature was found to hold, and taken when all other checks have passed, in one stretch
 * with the charge. In between nothing is held: an attempt that has to wait finds its own nonce unseen, a request that
 * was denied may be sent again, and of two copies that come in one turn the second is refused.
 *
 * For a key with strict replay the deployment is asked before the charge, once for a request: what it grants is
 * remembered here, so neither the attempts after it nor a retry of a request that was denied ask again. Of two copies
 * that both got so far, at two replicas, the database grants one.
 */

/** Takes a nonce for the whole deployment, until `expiresAtMs`. False: it was taken before. Settles within a deadline. */
export type ClaimNonce = (
  keyId: string,
  nonce: string,
  expiresAtMs: number,
  trace?: Trace,
) => Promise<boolean>;

export interface SignaturesOptions {
  readonly nonces: Pick<NonceSet, "stateOf" | "prepare" | "take" | "claim" | "giveBack">;
  readonly sealed: SealedValues;
  readonly windowMs: number;
  readonly claimNonce: ClaimNonce;
  /** Told where a request is not admitted because there is no room for its nonce, or its mark cannot be written. */
  readonly onNoRoom: (keyId: string) => void;
}

/** The deployment remembers a nonce this much longer than it has to: so far may clocks of its services be apart. */
const CLAIM_SLACK_MS = 60_000;

const invalid: Refusal = { code: "SIGNATURE_INVALID" };
const replayed: Refusal = { code: "REPLAYED" };
const unsigned: Refusal = undecidableFor("signing");

export class Signatures {
  readonly #options: SignaturesOptions;

  constructor(options: SignaturesOptions) {
    this.#options = options;
  }

  /** What is wrong with a request that was signed with a key; undefined where its signature holds and it is new. */
  faultOf(entry: KeyEntry, signing: SigningNode, signed: SignedRequest, now: Moment): Refusal | undefined {
    const { nonces, windowMs } = this.#options;
    if (signed.algorithm !== signing.algorithm || !signed.agrees) return invalid;
    if (!signed.wasAdmitted && Math.abs(now.wallMs - signed.timestampMs) > windowMs) return invalid;
    const fault = this.#signatureFault(entry, signing, signed, now);
    if (fault !== undefined || signed.wasAdmitted) return fault;
    switch (nonces.stateOf(signed, signing.strictReplay, now)) {
      case "taken":
        return replayed;
      case "unknown":
        return unsigned;
    }
    return undefined;
  }

  /**
   * Whether a request whose other checks have passed may be charged and admitted: undefined, why not, or that the
   * deployment must be asked first.
   */
  prepare({ strictReplay }: SigningNode, signed: SignedRequest, now: Moment): Refusal | "claim" | undefined {
    const { nonces, onNoRoom } = this.#options;
    const state = nonces.stateOf(signed, strictReplay, now);
    if (state === "claimed") return undefined;
    if (!nonces.prepare(signed, now)) {
      onNoRoom(signed.keyId);
      return unsigned;
    }
    return strictReplay ? "claim" : undefined;
  }

  /** Asks the deployment. Resolves to why not; undefined where the request is this replica's to admit. */
  async claim(signed: SignedRequest, now: () => Moment, trace?: Trace): Promise<Refusal | undefined> {
    const { nonces, windowMs, claimNonce } = this.#options;
    const { keyId, nonce, timestampMs } = signed;
    try {
      if (!(await claimNonce(keyId, nonce, timestampMs + windowMs + CLAIM_SLACK_MS, trace))) return replayed;
    } catch {
      return undecidable;
    }
    nonces.claim(signed, now());
    return undefined;
  }

  /** The request is admitted. Where that cannot be written down it was not. */
  admitted({ strictReplay }: SigningNode, signed: NonceUse, now: Moment, receipt: Receipt | undefined): void {
    const { nonces } = this.#options;
    nonces.take(signed, now);
    receipt?.whenFailed(() => nonces.giveBack(signed, strictReplay));
  }

  #signatureFault(
    entry: KeyEntry,
    { algorithm, keys }: SigningNode,
    { signature, canonicalRequest }: SignedRequest,
    now: Moment,
  ): Refusal | undefined {
    const bytes = readSignature(algorithm, signature);
    if (bytes === undefined) return invalid;
    entry.verifying ??= this.#verifying(entry);
    let isSealed = false;
    for (const [i, { untilMs }] of keys.entries()) {
      if (untilMs !== undefined && now.wallMs >= untilMs) continue;
      const key = entry.verifying[i];
      if (key === undefined) isSealed = true;
      else if (signatureHolds(algorithm, key, canonicalRequest, bytes)) return undefined;
    }
    // It may be that of a secret which does not open here.
    return isSealed ? unsigned : invalid;
  }

  #verifying({ key: { id, signing } }: KeyEntry): readonly (VerifyingKey | undefined)[] {
    const { algorithm, keys } = signing!;
    return keys.map(({ value }) => {
      const opened = algorithm === "ED25519" ? value : this.#options.sealed.open(value, id);
      return opened === undefined ? undefined : verifyingKey(algorithm, opened);
    });
  }
}
