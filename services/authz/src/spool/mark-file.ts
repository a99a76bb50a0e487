import { closeSync, constants, mkdirSync, openSync, readSync, writeSync } from "node:fs";
import { dirname } from "node:path";

/**
 * A number that only rises and survives its process: 16 digits, written over with one call. It survives the machine as
 * far as the kernel had written it by then.
 */
export class MarkFile {
  readonly #file: number;
  #value: number;

  private constructor(file: number, value: number) {
    this.#file = file;
    this.#value = value;
  }

  /** 0 for a new file. Throws an Error naming a file that holds anything else. */
  static open(path: string): MarkFile {
    mkdirSync(dirname(path), { recursive: true });
    // Not "a+": it would write at the end. Not "r+": the file may not be there yet.
    const file = openSync(path, CREATE_READ_WRITE, 0o600);
    const bytes = Buffer.alloc(DIGITS + 1);
    const text = bytes.toString("latin1", 0, readSync(file, bytes, 0, bytes.length, 0));
    if (text !== "" && !/^\d{16}$/.test(text)) {
      closeSync(file);
      throw new Error(`${path} is damaged: signed requests from before now could be admitted twice`);
    }
    return new MarkFile(file, Number(text));
  }

  get valueMs(): number {
    return this.#value;
  }

  /** Throws where it cannot be written. */
  raise(value: number): void {
    const whole = Math.ceil(value);
    if (whole <= this.#value) return;
    const text = String(whole).padStart(DIGITS, "0");
    if (writeSync(this.#file, text, 0, "latin1") !== DIGITS)
      throw new Error("the mark was not written whole");
    this.#value = whole;
  }

  close(): void {
    closeSync(this.#file);
  }
}

const DIGITS = 16;
const CREATE_READ_WRITE = constants.O_RDWR | constants.O_CREAT;
