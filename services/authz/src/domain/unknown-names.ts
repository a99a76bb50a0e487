import { S3Fifo } from "./s3-fifo.ts";

/** What is not there is remembered briefly: long enough for a retry storm, short enough for a new key. */
const UNKNOWN_MS = 2000;
/** A flood of unknown names costs no more than this many of them: some 10 MB. */
const UNKNOWN_CAPACITY = 65_536;

/** Names that were found to mean nothing. */
export class UnknownNames {
  readonly #untilMs = new S3Fifo<{ readonly ms: number }>(UNKNOWN_CAPACITY);
  readonly #nowMs: () => number;
  /** Times that one was asked for again. */
  hits = 0;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  get size(): number {
    return this.#untilMs.size;
  }

  get evictions(): number {
    return this.#untilMs.evictions;
  }

  has(name: string): boolean {
    const until = this.#untilMs.peek(name);
    const isUnknown = until !== undefined && until.ms > this.#nowMs();
    if (isUnknown) this.hits++;
    return isUnknown;
  }

  remember(name: string): void {
    this.#untilMs.set(name, { ms: this.#nowMs() + UNKNOWN_MS });
  }

  delete(name: string): void {
    this.#untilMs.delete(name);
  }

  clear(): void {
    this.#untilMs.clear();
  }
}
