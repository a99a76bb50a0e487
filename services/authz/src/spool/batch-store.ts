import { hash } from "node:crypto";

/** A sealed segment as it is sent: a UsageBatch and its SHA-256. */
export interface SealedBatch {
  readonly digest: Buffer;
  readonly payload: Buffer;
}

/** Where one epoch's batches lie: files, or memory for a spool without files. */
export interface BatchStore {
  /** Stores a batch: whole or not at all. */
  put(sequence: number, batch: SealedBatch): Promise<void>;
  /** A batch that waits or is kept; undefined if it is gone. Throws {@link DamagedBatch}. */
  read(sequence: number): Promise<SealedBatch | undefined>;
  /** Moves an acknowledged batch to those kept for a restored metering. */
  keep(sequence: number): Promise<void>;
  /** Moves a batch out of the way, for an operator to look at. */
  reject(sequence: number): Promise<void>;
  /** Deletes a kept batch. */
  remove(sequence: number): Promise<void>;
}

/** What is stored is not what was sealed. */
export class DamagedBatch extends Error {
  override readonly name = "DamagedBatch";
}

/** The batch with `payload`. */
export function sealedBatch(payload: Buffer): SealedBatch {
  return { digest: hash("sha256", payload, "buffer"), payload };
}

/** Batches in memory. Nothing is kept once it is acknowledged, and nothing once it is rejected. */
export class MemoryBatchStore implements BatchStore {
  readonly #batches = new Map<number, SealedBatch>();

  async put(sequence: number, batch: SealedBatch): Promise<void> {
    this.#batches.set(sequence, batch);
  }

  async read(sequence: number): Promise<SealedBatch | undefined> {
    return this.#batches.get(sequence);
  }

  async keep(sequence: number): Promise<void> {
    this.#batches.delete(sequence);
  }

  async reject(sequence: number): Promise<void> {
    this.#batches.delete(sequence);
  }

  async remove(sequence: number): Promise<void> {
    this.#batches.delete(sequence);
  }
}
