import { randomFillSync } from "node:crypto";

/** In the order of the character codes, so that fixed-width numbers sort as text. */
export const BASE62_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** Writes a non-negative integer with leading zeros. The caller knows that it fits. */
export function base62(value: number, width: number): string {
  let text = "";
  for (let left = value; text.length < width; left = Math.floor(left / 62)) {
    text = BASE62_ALPHABET.charAt(left % 62) + text;
  }
  return text;
}

/** Uniformly random characters from the system's generator. */
export function randomBase62(length: number): string {
  let text = "";
  while (text.length < length) {
    if (poolAt === pool.length) {
      randomFillSync(pool);
      poolAt = 0;
    }
    const sixBits = pool[poolAt]! & 63;
    // What became a secret must not linger where a heap dump would show it in order.
    pool[poolAt++] = 0;
    // 62 and 63 are drawn again: folding them in would make two characters likelier.
    if (sixBits < 62) text += BASE62_ALPHABET.charAt(sixBits);
  }
  return text;
}

/** Whether all characters in [from, to) are base62. */
export function isBase62(text: string, from: number, to: number): boolean {
  for (let at = from; at < to; at++) {
    const code = text.charCodeAt(at);
    if (!(code < 128 && IS_BASE62[code] === 1)) return false;
  }
  return true;
}

/** One system call serves some fifteen keys or seventy ids; a call for each costs more than the rest of an id. */
const pool = new Uint8Array(1024);
let poolAt = pool.length;

const IS_BASE62 = new Uint8Array(128);
for (const character of BASE62_ALPHABET) IS_BASE62[character.charCodeAt(0)] = 1;
