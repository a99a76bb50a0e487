import type { SigningNode } from "@gatehouse/access";
import type { Moment } from "@gatehouse/changefeed";
import { readSignature, signatureHolds, type VerifyingKey, verifyingKey } from "@gatehouse/keys";
import { checkInVain } from "./decoy-signature.ts";
import type { KeyEntry } from "./entry.ts";
import { organizationOf } from "./find-target.ts";
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

/** The deployment remembers a nonce this much longer than it has to, which is far more than good clocks are apart. */
const CLAIM_SLACK_MS = 60_000;

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
    if (signed.algorithm !== signing.algorithm) {
      this.checkInVain(signed, now);
      return invalid(`signed.algorithm: the key signs by another than ${signed.algorithm}`);
    }
    if (signed.disagreement !== undefined) return invalid(signed.disagreement);
    if (this.#isOutside(signed, now)) {
      return invalid(outsideOf(windowMs, signed.timestampMs - now.wallMs));
    }
    const fault = this.#signatureFault(entry, signing, signed, now);
    if (fault !== undefined || signed.wasAdmitted) return fault;
    switch (nonces.stateOf(useOf(entry, signed), signing, now)) {
      case "taken":
        return replayed;
      case "unknown":
        return unsigned;
    }
    return undefined;
  }

  /**
   * Takes as long as to find that a signature does not hold, where there is no key that could have made it: the ids of
   * keys are no secrets, but whoever calls is not to learn by the time which of them sign.
   */
  checkInVain(signed: SignedRequest, now: Moment): void {
    if (signed.disagreement === undefined && !this.#isOutside(signed, now)) checkInVain(signed);
  }

  /**
   * Whether a request whose other checks have passed may be charged and admitted: undefined, why not, or that the
   * deployment must be asked first.
   */
  prepare(entry: KeyEntry, signed: SignedRequest, now: Moment): Refusal | "claim" | undefined {
    const { nonces, onNoRoom } = this.#options;
    const signing = entry.key.signing!;
    const use = useOf(entry, signed);
    if (nonces.stateOf(use, signing, now) === "claimed") return undefined;
    if (!nonces.prepare(use, now)) {
      onNoRoom(signed.keyId);
      return unsigned;
    }
    return signing.strictReplay ? "claim" : undefined;
  }

  /** Asks the deployment. Resolves to why not; undefined where the request is this replica's to admit. */
  async claim(
    entry: KeyEntry,
    signed: SignedRequest,
    now: () => Moment,
    trace?: Trace,
  ): Promise<Refusal | undefined> {
    const { nonces, windowMs, claimNonce } = this.#options;
    const { keyId, nonce, timestampMs } = signed;
    try {
      if (!(await claimNonce(keyId, nonce, timestampMs + windowMs + CLAIM_SLACK_MS, trace))) return replayed;
    } catch {
      return undecidable;
    }
    nonces.claim(useOf(entry, signed), now());
    return undefined;
  }

  /** The request is admitted. Where that cannot be written down it was not. */
  admitted(entry: KeyEntry, signed: SignedRequest, now: Moment, receipt: Receipt | undefined): void {
    const { nonces } = this.#options;
    const use = useOf(entry, signed);
    const { strictReplay } = entry.key.signing!;
    nonces.take(use, now);
    receipt?.whenFailed(() => nonces.giveBack(use, strictReplay));
  }

  #isOutside({ wasAdmitted, timestampMs }: SignedRequest, now: Moment): boolean {
    return !wasAdmitted && Math.abs(now.wallMs - timestampMs) > this.#options.windowMs;
  }

  #signatureFault(
    entry: KeyEntry,
    { algorithm, keys }: SigningNode,
    { signature, canonicalRequest }: SignedRequest,
    now: Moment,
  ): Refusal | undefined {
    const bytes = readSignature(algorithm, signature);
    if (bytes === undefined) return invalid(`signed.signature: is not written as one of ${algorithm}`);
    entry.verifying ??= this.#verifying(entry);
    let isSealed = false;
    for (const [i, { untilMs }] of keys.entries()) {
      if (untilMs !== undefined && now.wallMs >= untilMs) continue;
      const key = entry.verifying[i];
      if (key === undefined) isSealed = true;
      else if (signatureHolds(algorithm, key, canonicalRequest, bytes)) return undefined;
    }
    // It may be that of a secret which does not open here.
    return isSealed ? unsigned : invalid("signed.signature: does not hold over what was signed");
  }

  #verifying({ key: { id, signing } }: KeyEntry): readonly (VerifyingKey | undefined)[] {
    const { algorithm, keys } = signing!;
    return keys.map(({ value }) => {
      const opened = algorithm === "ED25519" ? value : this.#options.sealed.open(value, id);
      return opened === undefined ? undefined : verifyingKey(algorithm, opened);
    });
  }
}

/**
 * What is said before the signature holds is what the request itself shows: whoever cannot sign learns nothing of the
 * key but that it signs otherwise.
 */
function invalid(reason: string): Refusal {
  return { code: "SIGNATURE_INVALID", reason };
}

function outsideOf(windowMs: number, aheadMs: number): string {
  const far = `${secondsOf(Math.abs(aheadMs))} ${aheadMs < 0 ? "ago" : "ahead of now"}`;
  return `signed.timestamp: is ${far}, and may be at most ${secondsOf(windowMs)} from now`;
}

// Rounded up: what is a millisecond beyond the window is not said to be within it.
function secondsOf(ms: number): string {
  return `${Math.ceil(ms / 100) / 10} s`;
}

function useOf(entry: KeyEntry, { keyId, nonce, timestampMs }: SignedRequest): NonceUse {
  return { keyId, organizationId: organizationOf(entry), nonce, timestampMs };
}
