import { createPublicKey, randomBytes } from "node:crypto";
import type { SigningAlgorithm } from "@gatehouse/access";
import type { Sealer } from "@gatehouse/keys";
import type { Fields } from "../fields.ts";

/** How requests are to be signed, as the caller sent it. */
export interface AskedOfSigning {
  readonly algorithm: string | undefined;
  readonly publicKey: string;
  readonly strictReplay: boolean;
}

/** How requests are to be signed, checked. `publicKey` is there for Ed25519 alone. */
export interface SigningWish {
  readonly algorithm: SigningAlgorithm;
  readonly publicKey: string;
  readonly strictReplay: boolean;
}

const ALGORITHMS: readonly SigningAlgorithm[] = ["HMAC_SHA256", "HMAC_SHA384", "HMAC_SHA512", "ED25519"];
const SECRET_BYTES = 32;

/** Reads `signing` of a request. */
export function checkSigning(fields: Fields, asked: AskedOfSigning): SigningWish {
  const algorithm = fields.choice("signing.algorithm", asked.algorithm, ALGORITHMS);
  if (asked.algorithm === undefined) fields.wrong("signing.algorithm", "is required");
  const { strictReplay } = asked;
  const publicKey =
    algorithm === undefined ? "" : checkPublicKey(fields, "signing.public_key", asked.publicKey, algorithm);
  return { algorithm: algorithm ?? "ED25519", publicKey, strictReplay };
}

/** A public key in the one spelling of its base64; empty where the algorithm has none. */
export function checkPublicKey(
  fields: Fields,
  field: string,
  given: string,
  algorithm: SigningAlgorithm | undefined,
): string {
  if (algorithm !== "ED25519") {
    if (given !== "") fields.wrong(field, "is for Ed25519 keys only");
    return "";
  }
  const publicKey = canonicalPublicKey(given);
  if (given === "") fields.wrong(field, "is required for Ed25519");
  else if (publicKey === undefined) fields.wrong(field, "must be an Ed25519 public key, 32 bytes in base64");
  return publicKey ?? "";
}

/** What signatures of a key are checked with, and for an HMAC the only copy of its secret. */
export function mintVerification(
  sealer: Sealer,
  keyId: string,
  { algorithm, publicKey }: Pick<SigningWish, "algorithm" | "publicKey">,
): { value: string; secret: string } {
  if (algorithm === "ED25519") return { value: publicKey, secret: "" };
  const secret = randomBytes(SECRET_BYTES).toString("base64url");
  return { value: sealer.seal(secret, keyId), secret };
}

function canonicalPublicKey(given: string): string | undefined {
  if (!/^[A-Za-z0-9+/]{43}=?$/.test(given)) return undefined;
  const bytes = Buffer.from(given, "base64");
  const canonical = bytes.toString("base64");
  if (canonical.replace("=", "") !== given.replace("=", "") || isOfSmallOrder(bytes)) return undefined;
  try {
    createPublicKey({
      key: { kty: "OKP", crv: "Ed25519", x: bytes.toString("base64url") },
      format: "jwk",
    });
    return canonical;
  } catch {
    return undefined;
  }
}

/*
 * The points of small order and their other spellings, without the sign: under one of them anybody signs, and a
 * forgotten setting of 32 zero bytes is one of them. The list is libsodium's (ge25519_has_small_order).
 */
const SMALL_ORDER: ReadonlySet<string> = new Set([
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]);

function isOfSmallOrder(bytes: Buffer): boolean {
  const unsigned = Buffer.from(bytes);
  unsigned[31]! &= 0x7f;
  return SMALL_ORDER.has(unsigned.toString("hex"));
}
