import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { SigningAlgorithm } from "@gatehouse/access";
import { isId, isNonce } from "@gatehouse/keys";
import type { SignedRequest as SignedRequestMessage } from "@gatehouse/proto/authz";
import { SigningAlgorithm as WireAlgorithm } from "@gatehouse/proto/identity";
import { type SignedRequest, signedRequest } from "../domain/signed-request.ts";
import type { VerifyCall } from "../domain/verify-call.ts";

/** Longer than any path, account and payload that a gateway has reason to pass on, in UTF-8. */
const MAX_CANONICAL_BYTES = 16 * 1024;
/** Longer than any signature in hexadecimal. */
const MAX_SIGNATURE_LENGTH = 200;
const ALGORITHMS: readonly SigningAlgorithm[] = ["HMAC_SHA256", "HMAC_SHA384", "HMAC_SHA512", "ED25519"];

export type NameField = (name: string, description: string) => void;

/** A signed request, and the account that its call acts on. Names every bad field. */
export function readSigned(
  message: SignedRequestMessage,
  account: string,
  http: VerifyCall["http"],
  field: NameField,
): { readonly signed: SignedRequest; readonly account: string } {
  const { keyId, canonicalRequest, signature, timestamp, nonce } = message;
  const algorithm = ALGORITHMS.find((each) => WireAlgorithm[each] === message.algorithm);
  if (!isId("key", keyId)) field("signed.key_id", "must be the id of a key");
  if (algorithm === undefined) field("signed.algorithm", "is required, and one of those that keys have");
  const canonicalBytes = Buffer.byteLength(canonicalRequest, "utf8");
  if (canonicalBytes === 0) field("signed.canonical_request", "is required");
  if (canonicalBytes > MAX_CANONICAL_BYTES) {
    field("signed.canonical_request", `is longer than ${MAX_CANONICAL_BYTES} bytes`);
  }
  // Halves of a surrogate pair, which JSON can bring, have no bytes of their own: different texts would be signed alike.
  if (!canonicalRequest.isWellFormed()) field("signed.canonical_request", "must be well-formed text");
  if (signature === "") field("signed.signature", "is required");
  if (signature.length > MAX_SIGNATURE_LENGTH) {
    field("signed.signature", `is longer than ${MAX_SIGNATURE_LENGTH} characters`);
  }
  const at = timestamp === undefined ? Number.NaN : timestampMs(timestamp);
  if (timestamp === undefined) field("signed.timestamp", "is required");
  else if (!(Math.abs(at) <= MAX_DATE_MS)) field("signed.timestamp", "must be a time");
  if (!isNonce(nonce)) field("signed.nonce", "must be 8 to 100 visible ASCII characters");
  const given = { keyId, algorithm: algorithm ?? "ED25519", canonicalRequest, signature, nonce };
  return signedRequest({ ...given, timestampMs: at }, account, http);
}

/** What a Date can be. */
const MAX_DATE_MS = 8.64e15;
