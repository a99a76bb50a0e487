import { createHmac } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { VerifyRequestSchema } from "@gatehouse/proto/authz";
import { SigningAlgorithm } from "@gatehouse/proto/identity";

/*
 * How exchanges have their clients sign: a JSON payload in base64, which travels beside its HMAC in hexadecimal and the
 * key's id. The payload says what it is for, by its path; its nonce is the time in milliseconds; a master key names the
 * account in it. One signs with SHA-384 and sends no body, another with SHA-512 and sends the payload as the body too.
 */

/** What such a client sends. */
export interface PayloadRequest {
  readonly path: string;
  readonly headers: { readonly key: string; readonly payload: string; readonly signature: string };
}

export interface PayloadSigner {
  readonly id: string;
  readonly secret: string;
  readonly hash: "sha384" | "sha512";
}

let lastNonce = 0;

/** A client: signs a call of a path, with whatever else its payload says. */
export function signPayload(
  { id, secret, hash }: PayloadSigner,
  path: string,
  more: object = {},
): PayloadRequest {
  lastNonce = Math.max(lastNonce + 1, Date.now());
  const payload = Buffer.from(JSON.stringify({ request: path, nonce: lastNonce, ...more })).toString(
    "base64",
  );
  const signature = createHmac(hash, secret).update(payload).digest("hex");
  return { path, headers: { key: id, payload, signature } };
}

/**
 * The exchange's gateway: it takes timestamp, nonce and account from what was signed, and nothing else is believed. A
 * payload for another path than the one that was called is none.
 */
export function verifyPayload(
  { path, headers }: PayloadRequest,
  hash: PayloadSigner["hash"],
): MessageInitShape<typeof VerifyRequestSchema> | "bad request" {
  const said = payloadOf(headers.payload);
  if (said?.request !== path) return "bad request";
  return {
    signed: {
      keyId: headers.key,
      algorithm: hash === "sha384" ? SigningAlgorithm.HMAC_SHA384 : SigningAlgorithm.HMAC_SHA512,
      canonicalRequest: headers.payload,
      signature: headers.signature,
      timestamp: timestampFromMs(said.nonce),
      nonce: String(said.nonce),
    },
    account: said.account,
    http: { method: "POST", path },
  };
}

function payloadOf(payload: string): { request: string; nonce: number; account: string } | undefined {
  const json = Buffer.from(payload, "base64").toString("utf8");
  const { request, nonce, account = "" } = JSON.parse(json) as Record<string, unknown>;
  if (typeof request !== "string" || typeof account !== "string") return undefined;
  return typeof nonce === "number" && Number.isSafeInteger(nonce) ? { request, nonce, account } : undefined;
}
