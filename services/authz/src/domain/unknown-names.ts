import { Cached, S3Fifo } from "./s3-fifo.ts";

/** What is not there is remembered briefly: long enough for a retry storm, short enough for a new key. */
const UNKNOWN_MS = 2000;
/** A flood of unknown names costs no more than this many of them: some 10 MB. */
const UNKNOWN_CAPACITY = 65_536;

/** Names that were found to mean nothing. */
export class UnknownNames {
  readonly #names = new S3Fifo<UnknownName>(UNKNOWN_CAPACITY);
  readonly #nowMs: () => number;
  /** Times that one was asked for again. */
  hits = 0;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  get size(): number {
    return this.#names.size;
  }

  get evictions(): number {
    return this.#names.evictions;
  }

  has(name: string): boolean {
    const found = this.#names.peek(name);
    const isUnknown = found !== undefined && found.untilMs > this.#nowMs();
    if (isUnknown) this.hits++;
    return isUnknown;
  }

  remember(name: string): void {
    this.#names.set(new UnknownName(name, this.#nowMs() + UNKNOWN_MS));
  }

  delete(name: string): void {
    this.#names.delete(name);
  }

  clear(): void {
    this.#names.clear();
  }
}

class UnknownName extends Cached {
  readonly name: string;
  readonly untilMs: number;

  constructor(name: string, untilMs: number) {
    super();
    this.name = name;
    this.untilMs = untilMs;
  }
}
