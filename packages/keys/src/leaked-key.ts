import { ID_BODY_LENGTH } from "./id.ts";
import { checkPrefix, DEFAULT_PREFIX } from "./key-text.ts";

/** A key is recognised by this much after its kind: id, secret, pepper version, tag. */
const BODY_LENGTH = 72;
/** Prefix, kind and body with their underscores, at the longest. */
const MAX_KEY_LENGTH = 12 + 5 + BODY_LENGTH;

const MASK = "…";
const WHOLE_KEY = /^([a-z][a-z0-9]{1,11}_(?:mst|acc|sub)_[0-9A-Za-z]{20})[0-9A-Za-z]{52}$/;

/**
 * Finds leaked keys in any text: `gth_(mst|acc|sub)_[0-9A-Za-z]{72}`, global. Plain enough for every scanner's
 * dialect; without word boundaries, because a key glued to other text has leaked all the same.
 * Throws `KeyFormatError` for a bad prefix.
 */
export function leakPattern(prefix: string = DEFAULT_PREFIX): RegExp {
  checkPrefix(prefix);
  return new RegExp(`${prefix}_(mst|acc|sub)_[0-9A-Za-z]{${BODY_LENGTH}}`, "g");
}

/**
 * A key for display, up to and including its id: `gth_acc_01JZK3fQbR7yTn0aVwXe…`. A shorter mask would show only
 * the time, the same for all keys of an afternoon. What is no key, and so might be some other secret, is `…`.
 */
export function maskKey(presented: string): string {
  if (presented.length > MAX_KEY_LENGTH) return MASK;
  const masked = WHOLE_KEY.exec(presented)?.[1] ?? "";
  return masked + MASK;
}

/**
 * Masks every key and invitation token in a text, cut-off and overlong ones too: any secret character after an id goes.
 * Linear in the text. Throws `KeyFormatError` for a bad prefix.
 */
export function redact(text: string, prefix: string = DEFAULT_PREFIX): string {
  checkPrefix(prefix);
  if (!text.includes(`${prefix}_`)) return text;
  const start = `${prefix}_(?:mst|acc|sub|inv)_`;
  // The look-ahead keeps a cut-off key from swallowing the prefix of the key glued to its end.
  const secret = `(?:(?!${start})[0-9A-Za-z])+`;
  return text.replace(new RegExp(`(${start}[0-9A-Za-z]{${ID_BODY_LENGTH}})${secret}`, "g"), `$1${MASK}`);
}
