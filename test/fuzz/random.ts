/** Randomness from a number, so that whatever is found is found again. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 32 bits: Mulberry32, by Tommy Ettinger. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** From 0 to `end`, which is left out. */
  below(end: number): number {
    return Math.floor((this.next() / 2 ** 32) * end);
  }

  pick<T>(of: readonly T[]): T {
    return of[this.below(of.length)]!;
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.alloc(length);
    for (let at = 0; at < length; at++) bytes[at] = this.next();
    return bytes;
  }

  /** Up to `most` characters that parsers stumble over more often than over others. */
  text(alphabet: string, most: number): string {
    const characters = Array.from({ length: this.below(most + 1) }, () => {
      const kind = this.below(40);
      if (kind === 0) return this.pick(AWKWARD);
      if (kind === 1) return String.fromCharCode(this.below(0x1_0000));
      return alphabet.charAt(this.below(alphabet.length));
    });
    return characters.join("");
  }

  /** The text with a few characters changed, put in, left out, doubled or moved. */
  mutatedText(text: string, alphabet: string): string {
    let mutated = text;
    for (let left = 1 + this.below(3); left > 0; left--) {
      const at = this.below(mutated.length + 1);
      const to = at + this.below(4);
      const put = this.pick(["", this.text(alphabet, 3), mutated.slice(at, to).repeat(2)]);
      mutated = mutated.slice(0, at) + put + mutated.slice(to);
    }
    return mutated;
  }

  /** As {@link mutatedText}, of bytes; and bits flipped, ends cut off, lengths made huge. */
  mutated(bytes: Buffer): Buffer {
    const at = this.below(bytes.length + 1);
    const to = Math.min(at + this.below(16), bytes.length);
    const [head, cut, tail] = [bytes.subarray(0, at), bytes.subarray(at, to), bytes.subarray(to)];
    switch (this.below(7)) {
      case 0:
        return Buffer.from(head);
      case 1:
        return Buffer.concat([head, tail]);
      case 2:
        return Buffer.concat([head, cut, cut, tail]);
      case 3:
        return Buffer.concat([head, this.bytes(this.below(12)), tail]);
      case 4:
        return Buffer.concat([head, Buffer.alloc(cut.length, this.pick([0, 0x7f, 0x80, 0xff])), tail]);
      case 5:
        return Buffer.concat([bytes, this.bytes(this.below(64))]);
      default: {
        const flipped = Buffer.from(bytes);
        if (flipped.length > 0) flipped[this.below(flipped.length)]! ^= 1 << this.below(8);
        return flipped;
      }
    }
  }
}

const AWKWARD = [
  "\0",
  "\n",
  "\r",
  " ",
  "\u{1F511}",
  "\ud800",
  "\udc00",
  "é",
  "\u2028",
  "İ",
  "Ł",
  "%",
  ",",
  "__proto__",
];
