import { closeSync, fsync, ftruncateSync, openSync } from "node:fs";
import { dirname } from "node:path";
import type { Waiting } from "../domain/journal.ts";
import { Aggregate } from "./aggregate.ts";
import { DiskWatch, LateDisk } from "./disk-watch.ts";
import { FRAME_HEADER_BYTES } from "./frame.ts";
import { syncDirectory } from "./replace-file.ts";

/** fs.writeSync, or a stand-in for a disk that is full. Answers how many bytes were written. */
export type WriteFrame = (
  fd: number,
  bytes: Buffer,
  offset: number,
  length: number,
  position: number,
) => number;

/** fs.fsync, or a stand-in for a disk that hangs. */
export type SyncFile = (fd: number, done: (error: Error | null) => void) => void;

/** Told once about every frame appended: on disk as the mode promises, or not recorded at all. */
export type Settle = (error?: Error) => void;

/** Options of a {@link Segment}. */
export interface SegmentOptions {
  readonly sequence: number;
  /** Undefined: in memory only. */
  readonly path: string | undefined;
  /** Whether a frame counts only once it would survive a power cut. */
  readonly isDurable: boolean;
  readonly write: WriteFrame;
  readonly syncFile?: SyncFile | undefined;
  /** Of the disk, for all its segments. */
  readonly watch?: DiskWatch | undefined;
}

interface Unsynced {
  readonly frame: Buffer;
  readonly settle: Settle;
  /** Told before it is settled where that takes long. */
  readonly waiting: readonly Waiting[];
}

const nobody: readonly Waiting[] = [];

/**
 * The file that frames are appended to, and what they add up to. A frame joins the aggregate when it is settled
 * without an error and never otherwise; a frame that failed is cut off the file, so that recovery does not find it
 * either, and the segment takes no more.
 *
 * With `isDurable` one fsync runs at a time and settles all frames that were written before it began. One that hangs
 * settles nothing: who waits is told so, and what is recorded is found out when the disk answers, or by recovery.
 */
export class Segment {
  readonly sequence: number;
  readonly aggregate = new Aggregate();
  readonly #path: string | undefined;
  readonly #fd: number | undefined;
  readonly #isDurable: boolean;
  readonly #write: WriteFrame;
  readonly #fsync: SyncFile;
  readonly #watch: DiskWatch;
  #length = 0;
  #settledLength = 0;
  #unsynced: Unsynced[] = [];
  #isSyncing = false;
  #isBroken = false;
  #named: Promise<void> | undefined;
  #finished: (() => void) | undefined;

  /** Bytes by which the frames can have made the batch grow at most, and the sum of their units. */
  growthBytes = 0;
  units = 0;

  /** Creates the file. Throws what the system throws. */
  constructor({ sequence, path, isDurable, write, syncFile = fsync, watch }: SegmentOptions) {
    this.sequence = sequence;
    this.#path = path;
    this.#fd = path === undefined ? undefined : openSync(path, "w");
    this.#isDurable = isDurable && path !== undefined;
    this.#write = write;
    this.#fsync = syncFile;
    this.#watch = watch ?? new DiskWatch();
  }

  get length(): number {
    return this.#length;
  }

  /** Whether a write failed: nothing more is taken. */
  get isBroken(): boolean {
    return this.#isBroken;
  }

  /** Appends a frame with one write; `settle` is called once, before or after this returns. */
  append(frame: Buffer, settle: Settle, waiting = nobody): void {
    const error = this.#append(frame);
    if (error !== undefined) {
      this.#isBroken = true;
      this.#cut(this.#length);
      settle(error);
    } else if (this.#isDurable) {
      this.#unsynced.push({ frame: Buffer.from(frame), settle, waiting });
      this.#sync();
    } else {
      this.#settledLength = this.#length;
      this.aggregate.apply(frame.subarray(FRAME_HEADER_BYTES));
      settle();
    }
  }

  /** Resolves once every frame is settled; then closes the file. */
  async finish(): Promise<void> {
    if (this.#isSyncing) {
      await new Promise<void>((resolve) => {
        this.#finished = resolve;
      });
    }
    try {
      if (this.#fd !== undefined) {
        closeSync(this.#fd);
      }
    } catch {
      // Every frame has been answered for; a local file has nothing to say at its close.
    }
  }

  #append(frame: Buffer): Error | undefined {
    if (this.#isBroken) {
      return new Error("the segment has failed before");
    }
    if (this.#fd === undefined) {
      this.#length += frame.length;
      return undefined;
    }
    try {
      const written = this.#write(this.#fd, frame, 0, frame.length, this.#length);
      if (written !== frame.length) {
        return new Error(`short write to the spool: ${written} of ${frame.length} bytes`);
      }
      this.#length += written;
      return undefined;
    } catch (error) {
      return error as Error;
    }
  }

  #sync(): void {
    if (this.#isSyncing) {
      return;
    }
    this.#isSyncing = true;
    const covered = this.#unsynced;
    const length = this.#length;
    this.#unsynced = [];
    const answered = this.#watch.begin(() => {
      const late = new LateDisk();
      for (const { waiting } of [...covered, ...this.#unsynced]) for (const each of waiting) each.late(late);
    });
    this.#syncFile((error) => {
      answered();
      this.#isSyncing = false;
      if (error === null) {
        this.#settledLength = length;
        for (const { frame, settle } of covered) {
          this.aggregate.apply(frame.subarray(FRAME_HEADER_BYTES));
          settle();
        }
      } else {
        this.#fail([...covered, ...this.#unsynced], error);
      }
      if (this.#unsynced.length > 0) {
        this.#sync();
      } else {
        this.#finished?.();
      }
    });
  }

  // A file whose name is not on disk is lost with all its synced pages: the directory goes first, once.
  #syncFile(done: (error: Error | null) => void): void {
    this.#named ??= syncDirectory(dirname(this.#path!));
    this.#named.then(() => this.#fsync(this.#fd!, done), done);
  }

  // After a failed fsync the kernel may have dropped any page written since the last good one.
  #fail(frames: readonly Unsynced[], error: Error): void {
    this.#isBroken = true;
    this.#unsynced = [];
    this.#cut(this.#settledLength);
    for (const { settle } of frames) {
      settle(error);
    }
  }

  // If even this fails, the checksum hides a torn frame; one that is whole would be counted after a crash.
  #cut(length: number): void {
    try {
      if (this.#fd !== undefined) {
        ftruncateSync(this.#fd, length);
      }
      this.#length = length;
    } catch {
      this.#isBroken = true;
    }
  }
}
