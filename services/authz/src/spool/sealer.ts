import { setTimeout } from "node:timers/promises";
import type { Backlog } from "./backlog.ts";
import type { DiskBatchStore } from "./disk-batch-store.ts";
import type { Epoch } from "./epoch.ts";
import type { Segment } from "./segment.ts";
import type { SpoolLog } from "./spool-log.ts";

const RETRY_MIN_MS = 50;
const RETRY_MAX_MS = 5000;

/** Options of {@link Sealer}. */
export interface SealerOptions {
  readonly epoch: Epoch;
  readonly backlog: Backlog;
  /** Undefined in memory. */
  readonly files: DiskBatchStore | undefined;
  readonly log: SpoolLog;
  readonly nowMs: () => number;
}

/**
 * Makes batches of finished segments, off the hot path and strictly one after the other. A segment's file goes when its
 * batch is there; until then a crash leaves the segment to be sealed by recovery.
 */
export class Sealer {
  readonly #options: SealerOptions;
  #waiting = 0;
  /** Since the start. */
  sealed = 0;
  #isStopping = false;
  #idle: Promise<void> = Promise.resolve();

  constructor(options: SealerOptions) {
    this.#options = options;
  }

  /** Segments that are not sealed yet. */
  get waiting(): number {
    return this.#waiting;
  }

  add(segment: Segment): void {
    this.#waiting++;
    this.#idle = this.#idle.then(() => this.#seal(segment));
  }

  /** Resolves once what was added before is sealed. */
  whenIdle(): Promise<void> {
    return this.#idle;
  }

  /** Seals what waits; what fails from now on stays on disk for recovery. */
  stop(): Promise<void> {
    this.#isStopping = true;
    return this.#idle;
  }

  async #seal(segment: Segment): Promise<void> {
    const { epoch, files, backlog, log, nowMs } = this.#options;
    const { sequence } = segment;
    await segment.finish();
    if (epoch.lastSequence !== sequence - 1) {
      // The one before was given up while stopping: numbers have no gaps.
      return;
    }
    for (let retryMs = RETRY_MIN_MS; ; retryMs = Math.min(retryMs * 2, RETRY_MAX_MS)) {
      try {
        await epoch.seal(sequence, segment.aggregate, nowMs());
        break;
      } catch (error) {
        log.error({ err: error, epoch: epoch.number, sequence }, "a segment could not be sealed");
        if (this.#isStopping) {
          return;
        }
        await setTimeout(retryMs);
      }
    }
    this.#waiting--;
    this.sealed++;
    await files?.removeSegment(sequence).catch((error) => {
      log.warn({ err: error, epoch: epoch.number, sequence }, "a sealed segment could not be removed");
    });
    backlog.sealed();
  }
}
