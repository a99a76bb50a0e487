import { writeVarint } from "../varint.ts";

/**
 * Writes protobuf messages into one buffer that is used again and again: byte for byte what `toBinary` makes, at a
 * tenth of the cost. For the few messages of which there are very many.
 */
export class MessageWriter {
  #bytes = Buffer.allocUnsafe(INITIAL_BYTES);
  #end = 0;

  /** What was written, as a view valid until `reset`. */
  take(): Buffer {
    return this.#bytes.subarray(0, this.#end);
  }

  /** Begins anew. */
  reset(): void {
    this.#end = 0;
    if (this.#bytes.length > KEPT_BYTES) this.#bytes = Buffer.allocUnsafe(INITIAL_BYTES);
  }

  /** A string, left out where it is empty, as proto3 does. */
  text(field: number, value: string): void {
    if (value !== "") this.item(field, value);
  }

  /** A string that stands there though it is empty: an item of a list, a key or a value of a map. */
  item(field: number, value: string): void {
    // A character takes three bytes at most.
    this.#reserve(3 * value.length);
    this.#tag(field, LENGTH_DELIMITED);
    const { length } = value;
    if (length <= SHORT && this.#ascii(value)) return;
    const bytes = Buffer.byteLength(value);
    this.#end = writeVarint(this.#bytes, this.#end, bytes);
    this.#end += this.#bytes.write(value, this.#end);
  }

  items(field: number, values: readonly string[]): void {
    for (const value of values) this.item(field, value);
  }

  map(field: number, entries: Readonly<Record<string, string>>): void {
    for (const key of Object.keys(entries)) {
      const start = this.open(field);
      this.item(1, key);
      this.item(2, entries[key]!);
      this.close(start);
    }
  }

  /** An int32 or an enum. */
  int32(field: number, value: number): void {
    if (value === 0) return;
    if (value < 0) this.int64(field, BigInt(value));
    else {
      this.#reserve(0);
      this.#tag(field, VARINT);
      this.#end = writeVarint(this.#bytes, this.#end, value);
    }
  }

  int64(field: number, value: bigint): void {
    if (value === 0n) return;
    this.#reserve(0);
    this.#tag(field, VARINT);
    if (value > 0n && value <= MAX_SAFE) {
      this.#end = writeVarint(this.#bytes, this.#end, Number(value));
      return;
    }
    let rest = BigInt.asUintN(64, value);
    for (; rest > 0x7fn; rest >>= 7n) this.#bytes[this.#end++] = Number(rest & 0x7fn) | 0x80;
    this.#bytes[this.#end++] = Number(rest);
  }

  /** Begins a message within the message; answers what `close` is to be told. */
  open(field: number): number {
    this.#reserve(0);
    this.#tag(field, LENGTH_DELIMITED);
    return ++this.#end;
  }

  // One byte was left for the length: what is longer moves on.
  close(start: number): void {
    const length = this.#end - start;
    if (length <= 0x7f) {
      this.#bytes[start - 1] = length;
      return;
    }
    this.#reserve(0);
    const body = writeVarint(LENGTH, 0, length) - 1 + start;
    this.#bytes.copyWithin(body, start, this.#end);
    writeVarint(this.#bytes, start - 1, length);
    this.#end = body + length;
  }

  // A loop costs less than leaving JavaScript does. False: nothing was written.
  #ascii(value: string): boolean {
    const bytes = this.#bytes;
    let at = this.#end;
    bytes[at++] = value.length;
    for (let i = 0; i < value.length; i++) {
      const code = value.charCodeAt(i);
      if (code > 0x7f) return false;
      bytes[at++] = code;
    }
    this.#end = at;
    return true;
  }

  #tag(field: number, wireType: number): void {
    this.#end = writeVarint(this.#bytes, this.#end, field * 8 + wireType);
  }

  // Room for what is said, and besides for a tag, a length and a number.
  #reserve(bytes: number): void {
    const needed = this.#end + bytes + MARGIN_BYTES;
    if (needed <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.#bytes.length));
    this.#bytes.copy(larger, 0, 0, this.#end);
    this.#bytes = larger;
  }
}

const INITIAL_BYTES = 4096;
/** Enough for a batch of a thousand; what one enormous message needed is not kept. */
const KEPT_BYTES = 1024 * 1024;
const MARGIN_BYTES = 32;
const VARINT = 0;
const LENGTH_DELIMITED = 2;
/** Where a loop over characters stops being the faster way. */
const SHORT = 64;
const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER);
/** Where lengths are tried out. */
const LENGTH = new Uint8Array(8);
