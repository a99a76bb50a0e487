import { generateKeyPairSync, type KeyObject, randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type RequestToSign, signRequest } from "@gatehouse/client";
import { readSignedHeaders, type SigningAlgorithm } from "@gatehouse/keys";
import type { SignedRequestSchema } from "@gatehouse/proto/authz";
import { KeyKind, SigningAlgorithm as WireAlgorithm } from "@gatehouse/proto/identity";
import { type Caller, timely } from "./caller.ts";

/** A key that signs, as its client has it. */
export interface SigningKey {
  readonly id: string;
  readonly algorithm: SigningAlgorithm;
  readonly secret: string | KeyObject;
}

export interface SigningKeyOptions {
  readonly strictReplay?: boolean;
  readonly isMaster?: boolean;
  /** Default: the caller's own. */
  readonly account?: string;
}

/** A key of `caller`'s account, or of one that is named, which signs its requests. */
export async function makeSigningKey(
  caller: Pick<Caller, "keys">,
  algorithm: SigningAlgorithm,
  { strictReplay = false, isMaster = false, account = "" }: SigningKeyOptions = {},
): Promise<SigningKey> {
  const pair = algorithm === "ED25519" ? generateKeyPairSync("ed25519") : undefined;
  const { x = "" } = pair?.publicKey.export({ format: "jwk" }) ?? {};
  const publicKey = Buffer.from(x, "base64url").toString("base64");
  const signing = { algorithm: WireAlgorithm[algorithm], publicKey, strictReplay };
  const name = `signs ${randomUUID().slice(0, 8)}`;
  const kind = isMaster ? KeyKind.MASTER : KeyKind.ACCOUNT;
  const { key, secret } = await caller.keys.createKey(
    { account, name, kind, roles: ["developer"], signing },
    timely,
  );
  return { id: key!.id, algorithm, secret: pair?.privateKey ?? secret };
}

/** What a gateway sends to Verify of a request that a client signed with the SDK. */
export function signedWith(
  { id, algorithm, secret }: SigningKey,
  request: Partial<RequestToSign> = {},
): MessageInitShape<typeof SignedRequestSchema> {
  const line = { method: "POST", path: "/v1/orders?dry=true", ...request };
  const headers = signRequest({ keyId: id, algorithm, secret, body: "{}", ...line });
  const { content, canonicalRequest, signature } = readSignedHeaders((name) => headers[name], line)!;
  return {
    keyId: content.keyId,
    algorithm: WireAlgorithm[algorithm],
    canonicalRequest,
    signature,
    timestamp: timestampFromMs(content.timestampMs),
    nonce: content.nonce,
  };
}
