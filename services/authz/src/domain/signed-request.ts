import type { SigningAlgorithm } from "@gatehouse/access";
import { isSignedForm, parseCanonicalRequest } from "@gatehouse/keys";

/** A request that its client signed, as a gateway brings it. */
export interface SignedRequest {
  readonly keyId: string;
  readonly algorithm: SigningAlgorithm;
  /** What was signed, as it is. */
  readonly canonicalRequest: string;
  readonly signature: string;
  readonly timestampMs: number;
  readonly nonce: string;
  /** Whether what was signed says the same as these fields and the call, as far as it can be read. */
  readonly agrees: boolean;
  /** A retry of a request that this replica has admitted: neither its nonce nor its age is looked at again. */
  readonly wasAdmitted: boolean;
}

/**
 * A signed request, and the account that its call acts on. In Gatehouse's own form that is the one that was signed, and
 * a call that names another was not signed; in any other form the gateway, who took it from what was signed, is believed.
 */
export function signedRequest(
  given: Pick<
    SignedRequest,
    "keyId" | "algorithm" | "canonicalRequest" | "signature" | "timestampMs" | "nonce"
  >,
  account: string,
): { readonly signed: SignedRequest; readonly account: string } {
  if (!isSignedForm(given.canonicalRequest)) {
    return { signed: { ...given, agrees: true, wasAdmitted: false }, account };
  }
  const content = parseCanonicalRequest(given.canonicalRequest);
  const agrees =
    content !== undefined &&
    content.keyId === given.keyId &&
    content.timestampMs === given.timestampMs &&
    content.nonce === given.nonce &&
    (account === "" || account === content.account);
  return { signed: { ...given, agrees, wasAdmitted: false }, account: account || (content?.account ?? "") };
}
