import type { SigningAlgorithm } from "@gatehouse/access";
import { isSignedForm, parseCanonicalRequest, type SignedContent } from "@gatehouse/keys";
import type { VerifyCall } from "./verify-call.ts";

/** A request that its client signed, as a gateway brings it. */
export interface SignedRequest {
  readonly keyId: string;
  readonly algorithm: SigningAlgorithm;
  /** What was signed, as it is. */
  readonly canonicalRequest: string;
  readonly signature: string;
  readonly timestampMs: number;
  readonly nonce: string;
  /** In what it was not signed as these fields and the call say, as far as that can be read; undefined for nothing. */
  readonly disagreement: string | undefined;
  /** A retry of a request that this replica has admitted: neither its nonce nor its age is looked at again. */
  readonly wasAdmitted: boolean;
}

/**
 * A signed request, and the account that its call acts on. In Gatehouse's own form that is the one that was signed, and
 * a call that names another, or another method or path than was signed, was not signed; in any other form the gateway,
 * who took it from what was signed, is believed.
 */
export function signedRequest(
  given: GivenRequest,
  account: string,
  http?: VerifyCall["http"],
): { readonly signed: SignedRequest; readonly account: string } {
  const { canonicalRequest } = given;
  if (!isSignedForm(canonicalRequest)) {
    return { signed: { ...given, disagreement: undefined, wasAdmitted: false }, account };
  }
  const content = parseCanonicalRequest(canonicalRequest);
  const disagreement = disagreementOf(content, given, account, http);
  return {
    signed: { ...given, disagreement, wasAdmitted: false },
    account: account || (content?.account ?? ""),
  };
}

type GivenRequest = Omit<SignedRequest, "disagreement" | "wasAdmitted">;

function disagreementOf(
  content: SignedContent | undefined,
  given: GivenRequest,
  account: string,
  http: VerifyCall["http"],
): string | undefined {
  if (content === undefined) return "signed.canonical_request: is not in the form that its first line names";
  const signedPath = http?.path.includes("?") ? content.path : content.path.split("?", 1)[0];
  const differing = [
    content.keyId !== given.keyId && "signed.key_id",
    content.timestampMs !== given.timestampMs && "signed.timestamp",
    content.nonce !== given.nonce && "signed.nonce",
    account !== "" && account !== content.account && "account",
    http !== undefined && http.method !== content.method && "http.method",
    http !== undefined && http.path !== signedPath && "http.path",
  ].filter((field) => field !== false);
  return differing.length === 0 ? undefined : `${differing.join(", ")}: another was signed`;
}
