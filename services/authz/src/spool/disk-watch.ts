/**
 * How long answers wait for an fsync. A disk that is merely slow takes tens of milliseconds, a network volume that fails
 * over some seconds; callers have given up by then.
 */
const SYNC_MS_MAX = 2000;

/** The disk does not answer: what was handed to it may or may not be recorded. */
export class LateDisk extends Error {
  override readonly name = "LateDisk";

  constructor() {
    super("the spool's disk does not answer");
  }
}

/**
 * Notices that an fsync hangs. Who waits for it is let go then, without knowing what becomes of the record, and nothing
 * more is recorded until the disk has answered: it would wait behind.
 */
export class DiskWatch {
  readonly #maxMs: number;
  #hanging = 0;

  constructor(maxMs = SYNC_MS_MAX) {
    this.#maxMs = maxMs;
  }

  get isHung(): boolean {
    return this.#hanging > 0;
  }

  /** Begins to watch one fsync; what is returned is to be called once it has answered. */
  begin(onLate: () => void): () => void {
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      this.#hanging++;
      onLate();
    }, this.#maxMs);
    return () => {
      clearTimeout(timer);
      if (isLate) this.#hanging--;
    };
  }
}
