import { generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import type { KeyNode, SigningAlgorithm } from "@gatehouse/access";
import { canonicalRequest, contentSha256, mintId, type SignedContent, signText } from "@gatehouse/keys";
import { type SignedRequest, signedRequest } from "./signed-request.ts";
import type { TestVerifier } from "./verify.fixture.ts";

/** A key that signs, as its client has it. */
export interface Signer {
  readonly id: string;
  readonly algorithm: SigningAlgorithm;
  readonly secret: string | KeyObject;
  /** What identity keeps to check its signatures with. */
  readonly value: string;
}

/** A key of an account that signs; by default it may do everything. */
export function signer(
  test: TestVerifier,
  accountId = "acc_org",
  algorithm: SigningAlgorithm = "HMAC_SHA384",
  node: Partial<KeyNode> & { readonly strictReplay?: boolean; readonly strictSinceMs?: number } = {},
): Signer {
  const { strictReplay = false, strictSinceMs, ...more } = node;
  const made = credentialOf(test, mintId("key"), algorithm);
  const keys = [{ value: made.value, untilMs: undefined }];
  const signing = { algorithm, keys, strictReplay, strictSinceMs };
  test.identity.putKey(made.id, { accountId, signing, ...more });
  test.follow();
  return made;
}

/** Another credential for a key. */
export function credentialOf(test: TestVerifier, id: string, algorithm: SigningAlgorithm): Signer {
  if (algorithm !== "ED25519") {
    const secret = randomBytes(32).toString("base64url");
    return { id, algorithm, secret, value: test.sealer.seal(secret, id) };
  }
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const { x } = publicKey.export({ format: "jwk" });
  return { id, algorithm, secret: privateKey, value: Buffer.from(x!, "base64url").toString("base64") };
}

/** What a client sends, signed now but for what is said; `lines` are what it signs instead. */
export function sign(
  test: TestVerifier,
  { id, algorithm, secret }: Signer,
  content: Partial<SignedContent> & { readonly lines?: string } = {},
): SignedRequest & { readonly forAccount: string } {
  const { lines, ...said } = content;
  const signed = {
    keyId: id,
    method: "POST",
    path: "/v1/orders",
    account: "",
    timestampMs: test.now.wallMs,
    nonce: randomBytes(8).toString("hex"),
    contentSha256: contentSha256(),
    ...said,
  };
  const text = lines ?? canonicalRequest(signed);
  const { timestampMs, nonce } = signed;
  const signature = signText(algorithm, secret, text);
  const given = { keyId: id, algorithm, canonicalRequest: text, signature, timestampMs, nonce };
  const read = signedRequest(given, "");
  return { ...read.signed, forAccount: read.account };
}
