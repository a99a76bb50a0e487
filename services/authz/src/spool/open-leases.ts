import { appendFile, readFile, truncate } from "node:fs/promises";
import { FRAME_HEADER_BYTES, stampFrame, wholeFrames } from "./frame.ts";
import { replaceFile } from "./replace-file.ts";

/**
 * Which leases an epoch holds: its sealed segments are gone, and still whoever recovers the epoch must close every
 * lease that it was handed. A log beside the segments, with one line for each seal, rewritten once most of it is past.
 *
 * The line of a segment is written before its batch: a crash in between leaves the segment, which is then sealed
 * again and says nothing new here. It carries the sequence number as well, so that numbers stay gap-free when every
 * batch of an epoch has been acknowledged and deleted.
 */
export interface OpenLeases {
  /** The last sequence number sealed; 0 before the first. */
  readonly sealed: number;
  /** Whether a sealed segment said that the epoch has ended. */
  readonly isEnded: boolean;
  /** Takes in what a segment says of its leases, and of the epoch's end. After a failure it can be said again. */
  record(sequence: number, leases: Iterable<LeaseState>, isFinal: boolean): Promise<void>;
  /** The ids of the leases that are held. */
  ids(): Iterable<string>;
}

export interface LeaseState {
  readonly leaseId: string;
  readonly isClosed: boolean;
}

interface Line {
  readonly sealed: number;
  readonly opened: readonly string[];
  readonly closed: readonly string[];
  readonly ended?: boolean;
}

/** The log is rewritten once it is this large and four times what a rewrite would leave. */
const REWRITE_BYTES = 1024 * 1024;
const REWRITE_RATIO = 4;

export class OpenLeasesFile implements OpenLeases {
  readonly #path: string;
  readonly #isDurable: boolean;
  readonly #open = new Set<string>();
  #sealed = 0;
  #isEnded = false;
  #bytes = 0;
  #openBytes = 0;
  #isTorn = false;

  private constructor(path: string, isDurable: boolean) {
    this.#path = path;
    this.#isDurable = isDurable;
  }

  /** Reads the log at `path`, if there is one, and cuts off a line that a crash tore. */
  static async load(path: string, isDurable: boolean): Promise<OpenLeasesFile> {
    const log = new OpenLeasesFile(path, isDurable);
    const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
      return undefined;
    });
    if (bytes !== undefined) {
      for (const payload of wholeFrames(bytes)) {
        log.#apply(JSON.parse(payload.toString()));
        log.#bytes += FRAME_HEADER_BYTES + payload.length;
      }
      await truncate(path, log.#bytes);
    }
    return log;
  }

  get sealed(): number {
    return this.#sealed;
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  ids(): Iterable<string> {
    return this.#open;
  }

  async record(sequence: number, leases: Iterable<LeaseState>, isFinal: boolean): Promise<void> {
    const states = [...leases];
    const opened = states.filter(({ leaseId, isClosed }) => !isClosed && !this.#open.has(leaseId));
    const closed = states.filter(({ leaseId, isClosed }) => isClosed && this.#open.has(leaseId));
    const line: Line = {
      sealed: sequence,
      opened: opened.map(leaseIdOf),
      closed: closed.map(leaseIdOf),
      ended: isFinal,
    };
    this.#apply(line);
    if (this.#isTorn || this.#bytes > Math.max(REWRITE_BYTES, this.#openBytes * REWRITE_RATIO)) {
      await this.#rewrite();
      return;
    }
    const frame = lineFrame(line);
    // Until the write has succeeded nobody knows how the file ends.
    this.#isTorn = true;
    await appendFile(this.#path, frame, { flush: this.#isDurable });
    this.#isTorn = false;
    this.#bytes += frame.length;
  }

  async #rewrite(): Promise<void> {
    const frame = lineFrame({
      sealed: this.#sealed,
      opened: [...this.#open],
      closed: [],
      ended: this.#isEnded,
    });
    await replaceFile(this.#path, [frame], this.#isDurable);
    this.#isTorn = false;
    this.#bytes = frame.length;
  }

  #apply({ sealed, opened, closed, ended = false }: Line): void {
    this.#sealed = Math.max(this.#sealed, sealed);
    this.#isEnded ||= ended;
    for (const leaseId of opened) {
      this.#open.add(leaseId);
      this.#openBytes += leaseId.length;
    }
    for (const leaseId of closed) {
      this.#open.delete(leaseId);
      this.#openBytes -= leaseId.length;
    }
  }
}

/** For a spool without files: after a crash there is nobody who could close anything. */
export const noOpenLeases: OpenLeases = { sealed: 0, isEnded: false, record: async () => {}, ids: () => [] };

function leaseIdOf({ leaseId }: LeaseState): string {
  return leaseId;
}

function lineFrame(line: Line): Buffer {
  const text = JSON.stringify(line);
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + Buffer.byteLength(text));
  frame.write(text, FRAME_HEADER_BYTES);
  stampFrame(frame);
  return frame;
}
