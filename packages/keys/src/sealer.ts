/*
 * A sealed secret, for rows and backups:
 *
 *   s1.2.bG9v...80 characters....c2VjcmV0...
 *   ─┬ ┬ ────────────┬────────── ─────┬─────
 *  form│      wrapped data key     sealed text
 *      version of the key-encryption key
 *
 * The text is encrypted under a data key of its own, the data key under the key-encryption key of that version; both
 * with AES-256-GCM, each written as base64url of nonce (12 bytes), ciphertext and tag (16). Both authenticate the
 * form and the context, the data key its version too. So a sealed secret opens nowhere but where it was put,
 * and rotating the key-encryption key rewraps 32 bytes without ever opening what they protect.
 *
 * The AES key of a key-encryption key is HKDF-SHA256 of its secret, without salt, with the info below: secrets may
 * then be of any length, and one that someone also uses as a pepper gives nothing away.
 */
import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from "node:crypto";
import { newVersionedSecret, parseVersionedSecret, type VersionedSecret } from "./versioned-secret.ts";

/** A key-encryption key; its version is part of everything sealed with it. */
export type EncryptionKey = VersionedSecret;

/** A sealed secret that cannot be opened, or one that cannot be sealed. Quotes neither. */
export class SealError extends Error {
  override readonly name = "SealError";
}

/** Reads `<version>:<secret>` as `parsePepper` does. Throws `KeyFormatError`. */
export function parseEncryptionKey(text: string): EncryptionKey {
  return parseVersionedSecret(text, "encryption key");
}

/** A new random key, as the text to put in the configuration. */
export function newEncryptionKey(version: string): string {
  return newVersionedSecret(version, "encryption key");
}

/** Characters of a sealed secret, at most: what is sealed are keys and headers, of a few kilobytes. */
export const MAX_SEALED_LENGTH = 100_000;

/** Seals secrets that are needed again, unlike those of which a hash is enough. */
export class Sealer {
  /** What everything sealed with the current key begins with, and nothing else does. */
  readonly currentStart: string;
  readonly #currentVersion: string;
  readonly #wrappingKeys: ReadonlyMap<string, KeyObject>;

  /** The first seals, all open. Throws `SealError` for none, or two of one version. */
  constructor(keys: readonly EncryptionKey[]) {
    const [current] = keys;
    if (current === undefined) throw new SealError("at least one encryption key is needed");
    this.#currentVersion = current.version;
    this.currentStart = `${FORM}.${current.version}.`;
    this.#wrappingKeys = new Map(keys.map(({ version, secret }) => [version, wrappingKeyOf(secret)]));
    if (this.#wrappingKeys.size !== keys.length) {
      throw new SealError("two encryption keys have the same version");
    }
  }

  /** Seals a text for one place, named by `context`: the id of what it belongs to. */
  seal(plain: string, context: string): string {
    const dataKey = randomBytes(DATA_KEY_BYTES);
    const text = encrypt(createSecretKey(dataKey), Buffer.from(plain, "utf8"), textContext(context));
    const sealed = this.#written(dataKey, text, context);
    dataKey.fill(0);
    if (sealed.length > MAX_SEALED_LENGTH) throw new SealError("too long to be sealed");
    return sealed;
  }

  /** Throws `SealError` for an unknown version, another context, and anything that was changed. */
  open(sealed: string, context: string): string {
    const { version, wrapped, text } = read(sealed);
    const dataKey = this.#unwrap(version, wrapped, context);
    const plain = decrypt(createSecretKey(dataKey), text, textContext(context));
    dataKey.fill(0);
    return plain.toString("utf8");
  }

  /** Whether the current key sealed it. */
  isCurrent(sealed: string): boolean {
    return sealed.startsWith(this.currentStart);
  }

  /** The same secret under the current key; itself where it is already. The text is not opened. Throws as `open`. */
  reseal(sealed: string, context: string): string {
    const { version, wrapped, text } = read(sealed);
    const dataKey = this.#unwrap(version, wrapped, context);
    const again = this.isCurrent(sealed) ? sealed : this.#written(dataKey, text, context);
    dataKey.fill(0);
    return again;
  }

  #written(dataKey: Buffer, text: Buffer, context: string): string {
    const version = this.#currentVersion;
    const wrapped = encrypt(this.#wrappingKeys.get(version)!, dataKey, keyContext(version, context));
    return `${this.currentStart}${wrapped.toString("base64url")}.${text.toString("base64url")}`;
  }

  #unwrap(version: string, wrapped: Buffer, context: string): Buffer {
    const key = this.#wrappingKeys.get(version);
    if (key === undefined) throw new SealError(`sealed with an encryption key that is not known: ${version}`);
    return decrypt(key, wrapped, keyContext(version, context));
  }
}

const FORM = "s1";
const CIPHER = "aes-256-gcm";
const DATA_KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const WRAPPED_BYTES = NONCE_BYTES + DATA_KEY_BYTES + TAG_BYTES;
const SEALED = /^s1\.([0-9A-Za-z])\.([0-9A-Za-z_-]{80})\.([0-9A-Za-z_-]{38,})$/;

function wrappingKeyOf(secret: KeyObject): KeyObject {
  return createSecretKey(
    Buffer.from(hkdfSync("sha256", secret, "", "gatehouse key-encryption key", DATA_KEY_BYTES)),
  );
}

function keyContext(version: string, context: string): Buffer {
  return Buffer.from(`${FORM}.${version}.key.${context}`, "utf8");
}

function textContext(context: string): Buffer {
  return Buffer.from(`${FORM}.text.${context}`, "utf8");
}

function read(sealed: string): { version: string; wrapped: Buffer; text: Buffer } {
  const parts = sealed.length <= MAX_SEALED_LENGTH ? SEALED.exec(sealed) : null;
  if (parts === null) throw new SealError("not a sealed secret");
  const wrapped = Buffer.from(parts[2]!, "base64url");
  const text = Buffer.from(parts[3]!, "base64url");
  // Base64 has spare bits at its end; a text that uses them was changed.
  if (wrapped.length !== WRAPPED_BYTES || text.toString("base64url") !== parts[3]) throw changed();
  return { version: parts[1]!, wrapped, text };
}

function encrypt(key: KeyObject, plain: Buffer, context: Buffer): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES }).setAAD(context);
  return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

function decrypt(key: KeyObject, sealed: Buffer, context: Buffer): Buffer {
  const nonce = sealed.subarray(0, NONCE_BYTES);
  const tagAt = sealed.length - TAG_BYTES;
  const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES })
    .setAAD(context)
    .setAuthTag(sealed.subarray(tagAt));
  const plain = decipher.update(sealed.subarray(NONCE_BYTES, tagAt));
  try {
    return Buffer.concat([plain, decipher.final()]);
  } catch {
    throw changed();
  }
}

function changed(): SealError {
  return new SealError("sealed for something else, or changed since");
}
