import type { Backlog } from "./backlog.ts";
import { MAX_UNSEALED_SEGMENTS, SEAL_BATCH_BYTES, SEAL_UNITS } from "./bounds.ts";
import type { DiskBatchStore } from "./disk-batch-store.ts";
import { type DiskWatch, LateDisk } from "./disk-watch.ts";
import type { Sealer } from "./sealer.ts";
import { Segment, type SyncFile, type WriteFrame } from "./segment.ts";

export interface LiveSegmentOptions {
  readonly sealer: Sealer;
  readonly backlog: Backlog;
  /** Undefined: in memory. */
  readonly files: DiskBatchStore | undefined;
  readonly watch: DiskWatch;
  readonly isDurable: boolean;
  readonly write: WriteFrame;
  readonly syncFile: SyncFile | undefined;
  readonly maxSegmentBytes: number;
  readonly maxPendingBytes: number;
}

/** The segment that turns are written to: begun with the first one, and left to be sealed when it is full or it is time. */
export class LiveSegment {
  readonly #options: LiveSegmentOptions;
  #segment: Segment | undefined;
  #nextSequence = 1;
  #isStopped = false;

  constructor(options: LiveSegmentOptions) {
    this.#options = options;
  }

  get isBegun(): boolean {
    return this.#segment !== undefined;
  }

  /** Throws where nothing may be written now. */
  segment(): Segment {
    const { sealer, backlog, files, watch, isDurable, write, syncFile, maxPendingBytes } = this.#options;
    if (this.#isStopped) {
      throw new Error("the spool is stopped");
    }
    if (watch.isHung) throw new LateDisk();
    if (sealer.waiting >= MAX_UNSEALED_SEGMENTS) {
      throw new Error(`${sealer.waiting} segments wait to be sealed`);
    }
    if (backlog.pendingBytes > maxPendingBytes) {
      throw new Error(`more than ${maxPendingBytes} bytes wait for metering`);
    }
    const sequence = this.#nextSequence;
    this.#segment ??= new Segment({
      ...{ sequence, path: files?.segmentPath(sequence), isDurable, write, syncFile, watch },
    });
    return this.#segment;
  }

  get isFull(): boolean {
    if (this.#segment === undefined) return false;
    const { length, growthBytes, units } = this.#segment;
    const { maxSegmentBytes } = this.#options;
    return length >= maxSegmentBytes || growthBytes >= SEAL_BATCH_BYTES || units >= SEAL_UNITS;
  }

  /** Leaves it to be sealed. One that never held a frame leaves its number to the next one. */
  rotate(): void {
    const segment = this.#segment;
    this.#segment = undefined;
    if (segment === undefined) {
      return;
    }
    if (segment.length === 0) {
      void segment.finish();
      return;
    }
    this.#nextSequence++;
    this.#options.sealer.add(segment);
  }

  /** Nothing more is written. */
  stop(): void {
    this.#isStopped = true;
  }
}
