import {
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { TEMPORARY } from "./replace-file.ts";

/**
 * For each of some keys a time that only rises and survives the process: a line each time that it rises, and all of it
 * written anew without what is past when there are many. It survives the machine as far as the kernel had written it.
 *
 * A line begins with its line feed. What a write that failed half left behind is then ended by the next one, and passed
 * over when the file is read: what could not be written was not admitted.
 */
export class AheadFile {
  /** What the file said when it was opened. */
  readonly atStart: ReadonlyMap<string, number>;
  readonly #path: string;
  readonly #nowMs: () => number;
  readonly #times: Map<string, number>;
  #file: number;
  #lines: number;

  private constructor(path: string, nowMs: () => number) {
    this.#path = path;
    this.#nowMs = nowMs;
    const isThere = existsSync(path);
    this.#times = isThere ? read(path) : new Map();
    try {
      this.#file = this.#writeAnew();
      this.#lines = this.#times.size;
    } catch (error) {
      // A disk that is full, for one: what the old file says still holds, and is added to once there is room.
      if (!isThere) throw error;
      this.#file = openSync(path, "a");
      this.#lines = MAX_LINES;
    }
    this.atStart = new Map(this.#times);
  }

  /** Makes it where there is none. `nowMs` is the wall clock. */
  static open(path: string, nowMs: () => number): AheadFile {
    mkdirSync(dirname(path), { recursive: true });
    return new AheadFile(path, nowMs);
  }

  /** Throws where it cannot be written, or there are too many keys. */
  raise(keyId: string, ms: number): void {
    if (ms <= (this.#times.get(keyId) ?? 0)) return;
    if (this.#lines >= MAX_LINES) {
      const file = this.#writeAnew();
      closeSync(this.#file);
      this.#file = file;
      this.#lines = this.#times.size;
    }
    if (this.#times.size >= MAX_KEYS && !this.#times.has(keyId)) throw new Error("too many keys are ahead");
    const line = lineOf(keyId, ms);
    if (writeSync(this.#file, line) !== line.length) throw new Error("a line was not written whole");
    this.#times.set(keyId, Math.ceil(ms));
    this.#lines++;
  }

  close(): void {
    closeSync(this.#file);
  }

  // Whole, and on disk, before it takes the place of the old one, which stays what it is where that fails.
  #writeAnew(): number {
    const nowMs = this.#nowMs();
    for (const [keyId, ms] of this.#times) if (ms <= nowMs) this.#times.delete(keyId);
    const lines = [...this.#times].map(([keyId, ms]) => lineOf(keyId, ms));
    const path = this.#path + TEMPORARY;
    const file = openSync(path, APPEND_ANEW, 0o600);
    try {
      writeFileSync(file, lines.join(""));
      fsyncSync(file);
      renameSync(path, this.#path);
      return file;
    } catch (error) {
      closeSync(file);
      rmSync(path, { force: true }); // a full disk needs the room
      throw error;
    }
  }
}

/** Two megabytes when written anew. More clocks that are ahead at once are one that is behind: this machine's. */
const MAX_KEYS = 50_000;
const MAX_LINES = 2 * MAX_KEYS;
const APPEND_ANEW = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_APPEND;
const LINE = /^(key_[0-9A-Za-z]{20}) (\d{16})$/;

function lineOf(keyId: string, ms: number): string {
  return `\n${keyId} ${String(Math.ceil(ms)).padStart(16, "0")}`;
}

function read(path: string): Map<string, number> {
  const times = new Map<string, number>();
  for (const line of readFileSync(path, "latin1").split("\n")) {
    const [, keyId, ms] = LINE.exec(line) ?? [];
    if (keyId !== undefined) times.set(keyId, Math.max(Number(ms), times.get(keyId) ?? 0));
  }
  return times;
}
