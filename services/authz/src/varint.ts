/**
 * Protobuf's variable-length integers, for safe integers ≥ 0. Seven bits a byte, low ones first; above 31 bits by
 * division, since JavaScript's shifts stop there.
 */

/** A safe integer takes no more. */
export const MAX_VARINT_BYTES = 8;

/** Writes `value` at `at`; answers the offset behind it. The caller has made room. */
export function writeVarint(target: Uint8Array, at: number, value: number): number {
  let rest = value;
  let end = at;
  while (rest > 0x7fffffff) {
    target[end++] = (rest % 128) | 0x80;
    rest = Math.floor(rest / 128);
  }
  while (rest > 0x7f) {
    target[end++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  target[end++] = rest;
  return end;
}

/** How many bytes `value` takes. */
export function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest > 0x7f; rest = Math.floor(rest / 128)) {
    bytes++;
  }
  return bytes;
}

/** Reads varints and runs of bytes one after the other. Throws RangeError beyond the end. */
export class Reader {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  varint(): number {
    const first = this.#byte();
    if (first < 0x80) {
      return first;
    }
    let value = first & 0x7f;
    let scale = 128;
    for (;;) {
      const byte = this.#byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        return value;
      }
      scale *= 128;
    }
  }

  /** A view, not a copy. */
  take(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#bytes.length) {
      throw new RangeError("a record ends beyond its frame");
    }
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) {
      throw new RangeError("a record ends beyond its frame");
    }
    return byte;
  }
}
