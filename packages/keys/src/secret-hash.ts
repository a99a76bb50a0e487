import { hash } from "node:crypto";
import { constantTimeEquality } from "./constant-time.ts";

/** Characters of a stored hash: 256 bits in base64url. */
export const HASH_LENGTH = 43;

/**
 * SHA-256 of a presented key in base64url: all that is stored of it. A slow hash would protect nothing, the secret
 * has 256 random bits. The one-shot form with text out is less than half of what `createHash` takes.
 * The cost grows with the text: hash what `KeyFormat.parse` accepted, or what is bounded otherwise.
 */
export function hashSecret(presented: string): string {
  return hash("sha256", presented, "base64url");
}

/** Whether a text is a hash as `hashSecret` writes it. */
export function isHash(text: string): boolean {
  // The last character has two bits to spare, which are zero.
  return text.length === HASH_LENGTH && /^[0-9A-Za-z_-]{42}[048AEIMQUYcgkosw]$/.test(text);
}

/** Whether two hashes are the same, in constant time; false for anything that is not 43 characters. */
export const hashesEqual: (left: string, right: string) => boolean = constantTimeEquality(HASH_LENGTH);
