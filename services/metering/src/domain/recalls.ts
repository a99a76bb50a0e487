/** A stream's backlog: past this many limits the holder is not reading, and its leases run out by themselves. */
const MAX_PENDING_LIMITS = 100_000;
const MAX_LIMITS_PER_MESSAGE = 1000;

/** Hands recalls to the streams that holders keep open. A holder may have several; each gets every recall. */
export class Recalls {
  readonly #streams = new Map<string, Set<RecallStream>>();
  /** Limits that were recalled from holders here, since the start. */
  delivered = 0;

  /** How many streams are open. */
  get streams(): number {
    return this.#streams.values().reduce((sum, streams) => sum + streams.size, 0);
  }

  /** Limits whose leases the holder is to close, as they come, until `signal` aborts. */
  async *watch(holder: string, signal: AbortSignal): AsyncGenerator<readonly string[]> {
    const stream = new RecallStream();
    const streams = this.#streams.get(holder) ?? new Set();
    this.#streams.set(holder, streams.add(stream));
    const stop = () => stream.end();
    signal.addEventListener("abort", stop);
    if (signal.aborted) stop();
    try {
      // Only now do recalls reach this stream: the first message says so.
      yield [];
      yield* stream;
    } finally {
      signal.removeEventListener("abort", stop);
      streams.delete(stream);
      if (streams.size === 0 && this.#streams.get(holder) === streams) this.#streams.delete(holder);
    }
  }

  deliver(holder: string, limitIds: readonly string[]): void {
    const streams = this.#streams.get(holder);
    if (streams === undefined) return;
    this.delivered += limitIds.length;
    for (const stream of streams) stream.add(limitIds);
  }
}

class RecallStream implements AsyncIterable<readonly string[]> {
  readonly #pending = new Set<string>();
  #ended = false;
  #wake: () => void = () => {};

  add(limitIds: readonly string[]): void {
    for (const id of limitIds) {
      if (this.#pending.size < MAX_PENDING_LIMITS) this.#pending.add(id);
    }
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly string[]> {
    while (!this.#ended) {
      const limitIds = [...this.#pending].slice(0, MAX_LIMITS_PER_MESSAGE);
      for (const id of limitIds) this.#pending.delete(id);
      if (limitIds.length > 0) yield limitIds;
      else await new Promise<void>((resolve) => this.#wakeBy(resolve));
    }
  }

  #wakeBy(resolve: () => void): void {
    this.#wake = resolve;
    if (this.#pending.size > 0 || this.#ended) resolve();
  }
}
