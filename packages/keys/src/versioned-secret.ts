import { createSecretKey, type KeyObject, randomBytes } from "node:crypto";
import { isBase62 } from "./base62.ts";
import { KeyFormatError } from "./key-format-error.ts";

/** A secret of the deployment that is rotated by adding another. A `KeyObject` prints without its bytes. */
export interface VersionedSecret {
  /** One base62 character, part of everything made with this secret. */
  readonly version: string;
  readonly secret: KeyObject;
}

/** As strong as the hash and the cipher they key; less would make the secret the weak part. */
const MIN_BYTES = 32;
/** Longer adds nothing, and is more likely the wrong file. */
const MAX_BYTES = 128;

/**
 * Reads `<version>:<secret>`, the secret 32 to 128 bytes in base64url or hex (an even number of hex digits and
 * nothing else is read as hex). Throws `KeyFormatError`, which calls the text by `name` and never quotes it.
 */
export function parseVersionedSecret(text: string, name: string): VersionedSecret {
  const version = text.charAt(0);
  if (!isBase62(version, 0, 1) || text.charAt(1) !== ":") {
    throw new KeyFormatError(`${name} must be <version>:<secret>, the version one letter or digit`);
  }
  const wrongSize = () => new KeyFormatError(`${name} ${version} must be ${MIN_BYTES} to ${MAX_BYTES} bytes`);
  if (text.length > 2 + 2 * MAX_BYTES) throw wrongSize();
  const bytes = decode(text.slice(2));
  if (bytes === undefined) throw new KeyFormatError(`${name} ${version} is neither base64url nor hex`);
  if (bytes.length < MIN_BYTES || bytes.length > MAX_BYTES) throw wrongSize();
  const secret = createSecretKey(bytes);
  bytes.fill(0);
  return { version, secret };
}

/** A new random one, as the text to put in the configuration. */
export function newVersionedSecret(version: string, name: string): string {
  const text = `${version}:${randomBytes(MIN_BYTES).toString("base64url")}`;
  parseVersionedSecret(text, name);
  return text;
}

function decode(secret: string): Buffer | undefined {
  if (secret.length % 2 === 0 && /^[0-9A-Fa-f]+$/.test(secret)) return Buffer.from(secret, "hex");
  const digits = secret.replace(/={1,2}$/, "");
  if (!/^[0-9A-Za-z_-]+$/.test(digits) || digits.length % 4 === 1) return undefined;
  return Buffer.from(digits, "base64url");
}
