import { isId } from "@gatehouse/keys";
import { Fields } from "../fields.ts";

/** A nonce of a signed request, and when that request is too old anyway. */
export interface Nonce {
  readonly keyId: string;
  readonly nonce: string;
  readonly expiresAtMs: number;
}

/** The nonces that are taken in the whole deployment. */
export interface NonceStore {
  /** Takes it in one statement, so that one of any number of claims at once gets it. False: it is taken. */
  claim(nonce: Nonce, nowMs: number): Promise<boolean>;
  /** Forgets those that have expired. */
  sweep(nowMs: number, signal: AbortSignal): Promise<void>;
}

const MAX_NONCE = 100;
/** Longer than a request can be within any window, signed by a clock that is ahead, with clocks that are apart. */
const MAX_KEPT_MS = 15 * 60_000;

/** Whether the nonce was free. Throws Failure INVALID_ARGUMENT. */
export function claimNonce(
  nonces: NonceStore,
  { keyId, nonce, expiresAtMs }: { keyId: string; nonce: string; expiresAtMs: number | undefined },
  nowMs: number,
): Promise<boolean> {
  const fields = new Fields();
  if (!isId("key", keyId)) fields.wrong("key_id", "must be the id of a key");
  fields.text("nonce", nonce, { min: 1, max: MAX_NONCE });
  // One that is over already would be forgotten at once, and the request taken again.
  if (!(expiresAtMs !== undefined && expiresAtMs > nowMs && expiresAtMs <= nowMs + MAX_KEPT_MS)) {
    fields.wrong("expires_at", "must be in the future, up to 15 minutes from now");
  }
  fields.check();
  return nonces.claim({ keyId, nonce, expiresAtMs: expiresAtMs! }, nowMs);
}
