import { mkdir, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type BatchStore, DamagedBatch, type SealedBatch, sealedBatch } from "./batch-store.ts";
import { replaceFile, syncDirectory, TEMPORARY } from "./replace-file.ts";

const DIGEST_BYTES = 32;
const BATCH = ".batch";
const SEGMENT = ".segment";

/** A batch as it was found on disk. */
export interface FoundBatch {
  readonly sequence: number;
  /** Of its payload. */
  readonly bytes: number;
  readonly sealedAtMs: number;
}

/** What a directory of an epoch holds; all in order of their numbers. */
export interface FoundFiles {
  readonly segments: readonly number[];
  readonly pending: readonly FoundBatch[];
  readonly kept: readonly FoundBatch[];
  readonly rejected: readonly FoundBatch[];
}

/** The files of one epoch: `<n>.segment`, `<n>.batch`, `kept/<n>.batch`, `rejected/<n>.batch`. */
export class DiskBatchStore implements BatchStore {
  readonly #directory: string;
  readonly #isDurable: boolean;

  private constructor(directory: string, isDurable: boolean) {
    this.#directory = directory;
    this.#isDurable = isDurable;
  }

  /** Makes the epoch's directories where they are missing. */
  static async open(directory: string, isDurable: boolean): Promise<DiskBatchStore> {
    await mkdir(join(directory, "kept"), { recursive: true });
    await mkdir(join(directory, "rejected"), { recursive: true });
    if (isDurable) {
      await syncDirectory(directory);
      await syncDirectory(dirname(directory));
    }
    return new DiskBatchStore(directory, isDurable);
  }

  get openLeasesPath(): string {
    return join(this.#directory, "leases.log");
  }

  segmentPath(sequence: number): string {
    return join(this.#directory, numbered(sequence, SEGMENT));
  }

  /** A batch's file is its digest, then its payload: what rots on the disk is not shipped as if it were true. */
  async put(sequence: number, { digest, payload }: SealedBatch): Promise<void> {
    await replaceFile(this.#path("", sequence), [digest, payload], this.#isDurable);
  }

  async read(sequence: number): Promise<SealedBatch | undefined> {
    const bytes =
      (await readIfThere(this.#path("", sequence))) ?? (await readIfThere(this.#path("kept", sequence)));
    if (bytes === undefined) {
      return undefined;
    }
    const batch = sealedBatch(bytes.subarray(DIGEST_BYTES));
    if (!batch.digest.equals(bytes.subarray(0, DIGEST_BYTES))) {
      throw new DamagedBatch(`${this.#path("", sequence)} is not what was sealed`);
    }
    return batch;
  }

  async keep(sequence: number): Promise<void> {
    await rename(this.#path("", sequence), this.#path("kept", sequence));
  }

  async reject(sequence: number): Promise<void> {
    const rejected = this.#path("rejected", sequence);
    await rename(this.#path("", sequence), rejected).catch(() =>
      rename(this.#path("kept", sequence), rejected),
    );
  }

  async remove(sequence: number): Promise<void> {
    await rm(this.#path("kept", sequence), { force: true });
  }

  async removeSegment(sequence: number): Promise<void> {
    await rm(this.segmentPath(sequence), { force: true });
  }

  /** Removes the directory of an epoch that has come to its end, unless an operator has rejected batches to see. */
  async removeAll(): Promise<void> {
    if ((await readdir(join(this.#directory, "rejected"))).length === 0) {
      await rm(this.#directory, { recursive: true, force: true });
    }
  }

  /** Lists what is there; removes what a crash left half written. */
  async find(): Promise<FoundFiles> {
    const names = await readdir(this.#directory);
    for (const name of names.filter((name) => name.endsWith(TEMPORARY))) {
      await rm(join(this.#directory, name));
    }
    return {
      segments: numbersOf(names, SEGMENT),
      pending: await this.#found("", names),
      kept: await this.#found("kept", await readdir(join(this.#directory, "kept"))),
      rejected: await this.#found("rejected", await readdir(join(this.#directory, "rejected"))),
    };
  }

  async #found(folder: string, names: readonly string[]): Promise<FoundBatch[]> {
    const found: FoundBatch[] = [];
    for (const sequence of numbersOf(names, BATCH)) {
      const { size, mtimeMs } = await stat(this.#path(folder, sequence));
      found.push({ sequence, bytes: size - DIGEST_BYTES, sealedAtMs: mtimeMs });
    }
    return found;
  }

  #path(folder: string, sequence: number): string {
    return join(this.#directory, folder, numbered(sequence, BATCH));
  }
}

function numbered(sequence: number, ending: string): string {
  return String(sequence).padStart(10, "0") + ending;
}

function numbersOf(names: readonly string[], ending: string): number[] {
  return names
    .filter((name) => /^\d+\.[a-z]+$/.test(name) && name.endsWith(ending))
    .map((name) => Number.parseInt(name, 10))
    .sort((a, b) => a - b);
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      return undefined;
    }
    throw error;
  }
}
