import { createSecretKey, type KeyObject, randomBytes } from "node:crypto";
import { isBase62 } from "./base62.ts";
import { KeyFormatError } from "./key-format-error.ts";

/** The secret that tags are keyed by. A `KeyObject` prints without its bytes, in logs as in errors. */
export interface Pepper {
  /** One base62 character, part of every key tagged with it. */
  readonly version: string;
  readonly secret: KeyObject;
}

/** As strong as the HMAC's hash; less would make the tag the weak part. */
const MIN_PEPPER_BYTES = 32;
/** Longer adds nothing, and is more likely the wrong file than a pepper. */
const MAX_PEPPER_BYTES = 128;

/**
 * Reads `<version>:<secret>`, the secret 32 to 128 bytes in base64url or hex (an even number of hex digits and
 * nothing else is read as hex). Throws `KeyFormatError`.
 */
export function parsePepper(text: string): Pepper {
  const version = text.charAt(0);
  if (!isBase62(version, 0, 1) || text.charAt(1) !== ":") {
    throw new KeyFormatError("pepper must be <version>:<secret>, the version one letter or digit");
  }
  if (text.length > 2 + 2 * MAX_PEPPER_BYTES) throw wrongSize(version);
  const bytes = decode(text.slice(2), version);
  if (bytes.length < MIN_PEPPER_BYTES || bytes.length > MAX_PEPPER_BYTES) throw wrongSize(version);
  const secret = createSecretKey(bytes);
  bytes.fill(0);
  return { version, secret };
}

/** A new random pepper, as the text to put in the configuration. */
export function newPepper(version: string): string {
  const text = `${version}:${randomBytes(MIN_PEPPER_BYTES).toString("base64url")}`;
  parsePepper(text);
  return text;
}

function decode(secret: string, version: string): Buffer {
  if (secret.length % 2 === 0 && /^[0-9A-Fa-f]+$/.test(secret)) return Buffer.from(secret, "hex");
  const digits = secret.replace(/={1,2}$/, "");
  if (!/^[0-9A-Za-z_-]+$/.test(digits) || digits.length % 4 === 1) {
    throw new KeyFormatError(`pepper ${version} is neither base64url nor hex`);
  }
  return Buffer.from(digits, "base64url");
}

function wrongSize(version: string): KeyFormatError {
  return new KeyFormatError(`pepper ${version} must be ${MIN_PEPPER_BYTES} to ${MAX_PEPPER_BYTES} bytes`);
}
