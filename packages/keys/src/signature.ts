import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  type KeyObject,
  sign,
  timingSafeEqual,
  verify,
} from "node:crypto";

/** How requests are signed. */
export type SigningAlgorithm = "HMAC_SHA256" | "HMAC_SHA384" | "HMAC_SHA512" | "ED25519";

/** What signatures of a key are checked with; opaque, and printed it shows nothing. */
export type VerifyingKey = KeyObject;

/**
 * The signature of a text, in base64. `secret` is for an HMAC the secret as CreateKey showed it, whose characters are
 * the bytes of the HMAC key; for Ed25519 the private key, as a PEM text (PKCS #8) or a `KeyObject`.
 */
export function signText(algorithm: SigningAlgorithm, secret: string | KeyObject, text: string): string {
  if (algorithm !== "ED25519") {
    if (typeof secret !== "string") throw new TypeError("the secret of an HMAC is a text");
    return macOf(algorithm, createSecretKey(secret, "utf8"), text).toString("base64");
  }
  const key = typeof secret === "string" ? createPrivateKey(secret) : secret;
  if (key.asymmetricKeyType !== "ed25519") throw new TypeError("not an Ed25519 private key");
  return sign(null, Buffer.from(text, "utf8"), key).toString("base64");
}

/**
 * What to check signatures with: of an HMAC's secret, or an Ed25519 public key, 32 bytes in base64. Undefined where it
 * is none.
 */
export function verifyingKey(algorithm: SigningAlgorithm, value: string): VerifyingKey | undefined {
  try {
    if (algorithm !== "ED25519") return createSecretKey(value, "utf8");
    const x = Buffer.from(value, "base64").toString("base64url");
    return createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  } catch {
    return undefined;
  }
}

/** Does the signature, as {@link readSignature} reads it, hold over the text? In constant time. */
export function signatureHolds(
  algorithm: SigningAlgorithm,
  key: VerifyingKey,
  text: string,
  signature: Uint8Array,
): boolean {
  if (signature.length !== SIGNATURE_BYTES[algorithm]) return false;
  if (algorithm === "ED25519") return verify(null, Buffer.from(text, "utf8"), key, signature);
  return timingSafeEqual(macOf(algorithm, key, text), signature);
}

/**
 * The bytes of a signature in hexadecimal, base64 or base64url, padded or not: its length tells which. Undefined for
 * anything else, such as text with characters to spare.
 */
export function readSignature(algorithm: SigningAlgorithm, text: string): Uint8Array | undefined {
  const bytes = SIGNATURE_BYTES[algorithm];
  if (text.length === 2 * bytes) return /^[0-9A-Fa-f]+$/.test(text) ? Buffer.from(text, "hex") : undefined;
  const padding = (3 - (bytes % 3)) % 3;
  const unpadded = Math.ceil((bytes * 4) / 3);
  const body = text.length === unpadded + padding ? text.slice(0, unpadded) : text;
  if (body.length !== unpadded || text.slice(unpadded) !== "=".repeat(text.length - unpadded)) {
    return undefined;
  }
  const read = Buffer.from(body, "base64url");
  // Base64 has spare bits at its end, and Node passes over what is none of its characters.
  const written = read.toString("base64url");
  return written === body.replaceAll("+", "-").replaceAll("/", "_") ? read : undefined;
}

const HASHES = { HMAC_SHA256: "sha256", HMAC_SHA384: "sha384", HMAC_SHA512: "sha512" } as const;
const SIGNATURE_BYTES: Readonly<Record<SigningAlgorithm, number>> = {
  HMAC_SHA256: 32,
  HMAC_SHA384: 48,
  HMAC_SHA512: 64,
  ED25519: 64,
};

function macOf(algorithm: keyof typeof HASHES, key: KeyObject, text: string): Buffer {
  return createHmac(HASHES[algorithm], key).update(text, "utf8").digest();
}
