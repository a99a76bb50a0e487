/*
 * A presented key:
 *
 *   gth_acc_01JZK3fQbR7yTn0aVwXe...43 characters...1a8Tg29Qk
 *   ─┬─ ─┬─ ─────────┬────────── ────────┬──────── ┬───┬────
 *  prefix kind    id, 20          secret, 43       │  tag, 8
 *                                                  pepper version, 1
 *
 * The tag is a truncated HMAC-SHA256, keyed by the pepper, of everything before it. It proves nothing to a caller
 * who has a key; it lets a mistyped or forged key be refused without looking it up anywhere. 47 bits: a forger
 * needs 10^14 requests for one look-up, and that look-up still finds no hash to match.
 */
import { createHmac, type KeyObject } from "node:crypto";
import { base62, isBase62, randomBase62 } from "./base62.ts";
import { constantTimeEquality } from "./constant-time.ts";
import { ID_BODY_LENGTH, isId, type KeyId, mintId } from "./id.ts";
import { KeyFormatError } from "./key-format-error.ts";
import {
  checkPrefix,
  DEFAULT_PREFIX,
  type KeyKind,
  kindOfWire,
  WIRE_KIND_LENGTH,
  wireOfKind,
} from "./key-text.ts";
import type { Pepper } from "./pepper.ts";
import { hashSecret } from "./secret-hash.ts";

export interface KeyFormatOptions {
  /** The provider's own, `[a-z][a-z0-9]{1,11}`; `gth` when absent. */
  readonly prefix?: string;
  /** The first tags new keys; the others, being rotated out, still verify. */
  readonly peppers: readonly Pepper[];
}

/** What a well-formed key says of itself. Nothing in it is proven. */
export interface ParsedKey {
  readonly keyId: KeyId;
  readonly kind: KeyKind;
  readonly pepperVersion: string;
}

/** A new key. `presented` is shown once and never stored; `hash` is what is. */
export interface MintedKey {
  readonly keyId: KeyId;
  readonly presented: string;
  readonly hash: string;
}

/** Makes and reads the keys of one deployment. Reading is constant time on oversize text. */
export class KeyFormat {
  readonly prefix: string;
  readonly #current: Pepper;
  readonly #secrets: ReadonlyMap<string, KeyObject>;
  readonly #start: string;
  readonly #idAt: number;
  readonly #versionAt: number;
  readonly #length: number;

  /** Throws `KeyFormatError` for a bad prefix, no pepper, or two of one version. */
  constructor({ prefix = DEFAULT_PREFIX, peppers }: KeyFormatOptions) {
    checkPrefix(prefix);
    const [current] = peppers;
    if (current === undefined) throw new KeyFormatError("at least one pepper is needed");
    this.prefix = prefix;
    this.#current = current;
    this.#secrets = new Map(peppers.map(({ version, secret }) => [version, secret]));
    if (this.#secrets.size !== peppers.length) throw new KeyFormatError("two peppers have the same version");
    this.#start = `${prefix}_`;
    this.#idAt = this.#start.length + WIRE_KIND_LENGTH + 1;
    this.#versionAt = this.#idAt + ID_BODY_LENGTH + SECRET_LENGTH;
    this.#length = this.#versionAt + 1 + TAG_LENGTH;
  }

  /** Mints a key, or with a `keyId` a new secret for that key. */
  mint(kind: KeyKind, keyId: KeyId = mintId("key")): MintedKey {
    if (!isId("key", keyId)) throw new KeyFormatError("a key id is key_ and 20 base62 characters");
    const id = keyId.slice(KEY_ID_START.length);
    const presented = this.tagged(`${this.#start}${wireOfKind(kind)}_${id}${randomBase62(SECRET_LENGTH)}`);
    return { keyId, presented, hash: hashSecret(presented) };
  }

  /** Reads a key by its shape alone; undefined for anything else. */
  parse(presented: string): ParsedKey | undefined {
    const kind = this.#kindOf(presented);
    if (kind === undefined) return undefined;
    const keyId = (KEY_ID_START + presented.slice(this.#idAt, this.#idAt + ID_BODY_LENGTH)) as KeyId;
    return { keyId, kind, pepperVersion: presented.charAt(this.#versionAt) };
  }

  /** Whether the tag is right under the pepper it names; false for malformed keys and unknown versions. */
  authentic(presented: string): boolean {
    return this.#kindOf(presented) !== undefined && this.isTagged(presented);
  }

  /** The text with the pepper version and the tag behind it. What else is tagged begins as no key does. */
  tagged(text: string): string {
    const { version, secret } = this.#current;
    const body = text + version;
    return body + tagOf(secret, body);
  }

  /** Whether it is what `tagged` answered. The caller has bounded it. */
  isTagged(text: string): boolean {
    const tagAt = text.length - TAG_LENGTH;
    const secret = this.#secrets.get(text.charAt(tagAt - 1));
    return secret !== undefined && tagsEqual(tagOf(secret, text.slice(0, tagAt)), text.slice(tagAt));
  }

  #kindOf(presented: string): KeyKind | undefined {
    if (presented.length !== this.#length || !presented.startsWith(this.#start)) return undefined;
    if (presented.charAt(this.#idAt - 1) !== "_" || !isBase62(presented, this.#idAt, this.#length))
      return undefined;
    return kindOfWire(presented.slice(this.#start.length, this.#idAt - 1));
  }
}

/** Characters that `tagged` adds: the pepper version and the tag. */
export const TAGGED_LENGTH = 9;

const SECRET_LENGTH = 43;
const TAG_LENGTH = 8;
const KEY_ID_START = "key_";

const tagsEqual = constantTimeEquality(TAG_LENGTH);

/** Half of the tag from each of two 32-bit words: no big integers, and a bias of 0.3 %, nothing to a forger. */
function tagOf(secret: KeyObject, body: string): string {
  const digest = createHmac("sha256", secret).update(body).digest("hex");
  return half(digest.slice(0, 8)) + half(digest.slice(8, 16));
}

function half(hexWord: string): string {
  return base62(Number.parseInt(hexWord, 16) % 62 ** (TAG_LENGTH / 2), TAG_LENGTH / 2);
}
