import type { SyncFile, WriteFrame } from "./segment.ts";
import type { SpoolLog } from "./spool-log.ts";

/**
 * How much a written turn survives: `off` nothing (no files), `cache` any death of the process, `fsync` that of the
 * machine too, once its callbacks have run.
 */
export type SyncMode = "off" | "cache" | "fsync";

/** Told after the turn's write: without an error it is recorded; with one, nothing of it is. */
export type WrittenCallback = (error?: Error) => void;

/** How a spool is opened. */
export interface SpoolOptions {
  /** On a local file system; made if it is missing. Unused in mode `off`. */
  readonly directory: string;
  /** The name under which metering knows this directory. */
  readonly producer: string;
  readonly sync: SyncMode;
  readonly log: SpoolLog;
  /** A segment that reaches this is sealed; default 8 MiB. */
  readonly maxSegmentBytes?: number | undefined;
  /** A segment is sealed this often; default 1000. */
  readonly sealEveryMs?: number | undefined;
  /** Beyond this much waiting for metering, turns fail; default `MAX_PENDING_BYTES`. */
  readonly maxPendingBytes?: number | undefined;
  /** Wall clock. */
  readonly nowMs?: (() => number) | undefined;
  /** Told how many milliseconds a turn's write took, until it counts. */
  readonly onWritten?: ((ms: number) => void) | undefined;
  /** How a frame is written; for tests. */
  readonly write?: WriteFrame | undefined;
  /** How a segment is synced; for tests. */
  readonly syncFile?: SyncFile | undefined;
  /** How long answers wait for an fsync; default 2000. */
  readonly syncMsMax?: number | undefined;
}
