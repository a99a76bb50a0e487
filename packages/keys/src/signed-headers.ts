import { randomBytes } from "node:crypto";
import { isId } from "./id.ts";
import { readSignature, type SigningAlgorithm, signText } from "./signature.ts";
import { canonicalRequest, contentSha256, type SignedContent } from "./signed-content.ts";

/** The headers in which a signed request travels. `account` is there where one is named. */
export const SIGNED_HEADERS = {
  key: "gatehouse-key",
  algorithm: "gatehouse-algorithm",
  timestamp: "gatehouse-timestamp",
  nonce: "gatehouse-nonce",
  contentSha256: "gatehouse-content-sha256",
  account: "gatehouse-account",
  signature: "gatehouse-signature",
} as const;

/** A request as its headers and its first line state it, with all that Verify takes of it. */
export interface SignedRequestParts {
  readonly content: SignedContent;
  readonly algorithm: SigningAlgorithm;
  /** What was signed, if these headers are those that were. */
  readonly canonicalRequest: string;
  readonly signature: string;
}

/** What a client is about to send. */
export interface RequestToSign {
  /** `key_…` */
  readonly keyId: string;
  readonly algorithm: SigningAlgorithm;
  /** As `signText` takes it. */
  readonly secret: Parameters<typeof signText>[1];
  readonly method: string;
  /** Path and query as they will be sent, percent-encoded. */
  readonly path: string;
  readonly body?: string | Uint8Array | undefined;
  /** The account to act on, by id or slug. Default: the key's own. */
  readonly account?: string | undefined;
  /** Unix milliseconds. Default: now. */
  readonly timestampMs?: number | undefined;
  /** Default: 128 random bits. */
  readonly nonce?: string | undefined;
}

/** The headers to send with a request. Throws RangeError naming each value that cannot be signed. */
export function signedHeaders(request: RequestToSign): Record<string, string> {
  const { keyId, algorithm, secret, method, path, body, account = "" } = request;
  const { timestampMs = Date.now(), nonce = randomBytes(16).toString("hex") } = request;
  const sha256 = contentSha256(body);
  const content = { keyId, method, path, account, timestampMs, nonce, contentSha256: sha256 };
  return {
    [SIGNED_HEADERS.key]: keyId,
    [SIGNED_HEADERS.algorithm]: wireOfAlgorithm[algorithm],
    [SIGNED_HEADERS.timestamp]: String(timestampMs),
    [SIGNED_HEADERS.nonce]: nonce,
    [SIGNED_HEADERS.contentSha256]: sha256,
    ...(account !== "" && { [SIGNED_HEADERS.account]: account }),
    [SIGNED_HEADERS.signature]: signText(algorithm, secret, canonicalRequest(content)),
  };
}

/** Is a request meant as a signed one? */
export function isSigned(header: HeaderOf): boolean {
  return header(SIGNED_HEADERS.signature) !== undefined;
}

/**
 * Reads a request that came to a gateway: its headers, by lower-case name, and the method and the path that the gateway
 * itself got. Undefined where any header is missing, sent twice (which joins them by a comma), or malformed. Whether the
 * body is the one that was hashed is for whoever has the body to check.
 */
export function readSignedHeaders(
  header: HeaderOf,
  { method, path }: { readonly method: string; readonly path: string },
): SignedRequestParts | undefined {
  const keyId = header(SIGNED_HEADERS.key) ?? "";
  const wire = header(SIGNED_HEADERS.algorithm);
  const timestamp = header(SIGNED_HEADERS.timestamp) ?? "";
  const signature = header(SIGNED_HEADERS.signature) ?? "";
  const algorithm = algorithms.find((each) => wireOfAlgorithm[each] === wire);
  if (algorithm === undefined || !isId("key", keyId) || !/^\d+$/.test(timestamp)) return undefined;
  if (readSignature(algorithm, signature) === undefined) return undefined;
  const content: SignedContent = {
    keyId,
    method,
    path,
    account: header(SIGNED_HEADERS.account) ?? "",
    timestampMs: Number(timestamp),
    nonce: header(SIGNED_HEADERS.nonce) ?? "",
    contentSha256: header(SIGNED_HEADERS.contentSha256) ?? "",
  };
  try {
    return { content, algorithm, canonicalRequest: canonicalRequest(content), signature };
  } catch {
    return undefined;
  }
}

/** A request's header by its lower-case name; undefined where it was not sent. */
export type HeaderOf = (name: string) => string | undefined;

const wireOfAlgorithm: Readonly<Record<SigningAlgorithm, string>> = {
  HMAC_SHA256: "hmac-sha256",
  HMAC_SHA384: "hmac-sha384",
  HMAC_SHA512: "hmac-sha512",
  ED25519: "ed25519",
};
const algorithms = Object.keys(wireOfAlgorithm) as SigningAlgorithm[];
