import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { isSigned, readSignedHeaders } from "@gatehouse/keys";
import { type SignedRequest, SignedRequestSchema } from "@gatehouse/proto/authz";
import { SigningAlgorithm } from "@gatehouse/proto/identity";
import type { GatewayRequest } from "./gateway-request.ts";
import { API_KEY_HEADER } from "./headers.ts";
import { Unanswerable } from "./unanswerable.ts";

/** What a caller presents, and the header that held it. */
export type Credential =
  | { readonly key: string; readonly header: "authorization" | typeof API_KEY_HEADER }
  | { readonly signed: SignedRequest; readonly contentSha256: string };

/**
 * The one credential of a call: `authorization: Bearer <key>`, `x-api-key: <key>`, or a signature. Two are one too many
 * (RFC 6750, section 3.1), even where they are alike: which of them the call was about is anybody's guess. An
 * `authorization` of another scheme is the backend's, and passed on.
 */
export function credentialOf(request: Pick<GatewayRequest, "header" | "method" | "path">): Credential {
  const authorization = request.header("authorization");
  const bearer =
    authorization !== undefined && /^bearer(\s|$)/i.test(authorization) ? authorization : undefined;
  const apiKey = request.header(API_KEY_HEADER) || undefined;
  const signed = isSigned(request.header);
  if (Number(bearer !== undefined) + Number(apiKey !== undefined) + Number(signed) > 1) {
    throw new Unanswerable("REQUEST_INVALID", "the call has more than one credential");
  }
  if (bearer !== undefined) return { key: keyIn(/^Bearer +([^\s,]+)$/i, bearer), header: "authorization" };
  if (apiKey !== undefined) return { key: keyIn(/^([^\s,]+)$/, apiKey), header: API_KEY_HEADER };
  if (signed) return signatureOf(request);
  throw new Unanswerable(
    "CREDENTIAL_MISSING",
    "the call needs a key: authorization: Bearer <key>, or x-api-key: <key>",
  );
}

// A comma is what joins two headers of one name; no key has one.
function keyIn(pattern: RegExp, value: string): string {
  const key = pattern.exec(value)?.[1];
  if (key === undefined) throw new Unanswerable("CREDENTIAL_INVALID", "the credential is not valid");
  return key;
}

function signatureOf(request: Pick<GatewayRequest, "header" | "method" | "path">): Credential {
  const parts = readSignedHeaders(request.header, request);
  if (parts === undefined) {
    throw new Unanswerable("CREDENTIAL_INVALID", "a header of the signed request is missing or malformed");
  }
  const { content, algorithm, canonicalRequest, signature } = parts;
  const signed = create(SignedRequestSchema, {
    keyId: content.keyId,
    algorithm: SigningAlgorithm[algorithm],
    canonicalRequest,
    signature,
    timestamp: timestampFromMs(content.timestampMs),
    nonce: content.nonce,
  });
  return { signed, contentSha256: content.contentSha256 };
}
