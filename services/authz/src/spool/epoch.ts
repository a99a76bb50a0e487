import type { Aggregate } from "./aggregate.ts";
import { type BatchStore, type SealedBatch, sealedBatch } from "./batch-store.ts";
import type { OpenLeases } from "./open-leases.ts";

/** A batch on its way. */
export interface BatchRef {
  readonly sequence: number;
  /** Of its payload. */
  readonly bytes: number;
  /** When it was sealed; once it is acknowledged, when that was. */
  readonly atMs: number;
}

/** What an {@link Epoch} is made of. */
export interface EpochInit {
  readonly number: number;
  /** Whether this process appends to it. */
  readonly isLive: boolean;
  readonly store: BatchStore;
  readonly openLeases: OpenLeases;
  readonly lastSequence?: number;
  readonly pending?: readonly BatchRef[];
  readonly kept?: readonly BatchRef[];
}

/**
 * The batches of one epoch: those that wait for metering, and those acknowledged ones that are kept for a metering
 * that was restored and asks again. Both in order of sequence numbers, which have no gaps.
 */
export class Epoch {
  readonly number: number;
  readonly isLive: boolean;
  readonly openLeases: OpenLeases;
  readonly #store: BatchStore;
  #pending: BatchRef[];
  #kept: BatchRef[];
  #pendingBytes: number;
  #keptBytes: number;
  #lastSequence: number;

  constructor({ number, isLive, store, openLeases, lastSequence = 0, pending = [], kept = [] }: EpochInit) {
    this.number = number;
    this.isLive = isLive;
    this.openLeases = openLeases;
    this.#store = store;
    this.#pending = [...pending];
    this.#kept = [...kept];
    this.#pendingBytes = bytesOf(pending);
    this.#keptBytes = bytesOf(kept);
    this.#lastSequence = lastSequence;
  }

  /** The number of the last batch sealed; 0 before the first. */
  get lastSequence(): number {
    return this.#lastSequence;
  }

  get pending(): readonly BatchRef[] {
    return this.#pending;
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  get kept(): readonly BatchRef[] {
    return this.#kept;
  }

  get keptBytes(): number {
    return this.#keptBytes;
  }

  /** Seals the next batch. After a failure it can be called again with the same arguments. */
  async seal(sequence: number, aggregate: Aggregate, nowMs: number): Promise<void> {
    const batch = sealedBatch(aggregate.encode());
    await this.openLeases.record(sequence, aggregate.leases(), aggregate.isFinal);
    await this.#store.put(sequence, batch);
    this.#lastSequence = sequence;
    this.#pendingBytes += batch.payload.length;
    this.#pending.push({ sequence, bytes: batch.payload.length, atMs: nowMs });
  }

  /** The batch with this number; undefined if it is not here (any more). */
  read(sequence: number): Promise<SealedBatch | undefined> {
    return this.#store.read(sequence);
  }

  /** Metering has everything below `expected`. */
  async acknowledge(expected: number, nowMs: number): Promise<void> {
    while (this.#pending.length > 0 && this.#pending[0]!.sequence < expected) {
      const { sequence, bytes } = this.#pending.shift()!;
      this.#pendingBytes -= bytes;
      this.#keptBytes += bytes;
      this.#kept.push({ sequence, bytes, atMs: nowMs });
      await this.#store.keep(sequence);
    }
  }

  /** Sets a batch aside that metering will never take. */
  async reject(sequence: number): Promise<void> {
    const isOther = (batch: BatchRef) => batch.sequence !== sequence;
    this.#pending = this.#pending.filter(isOther);
    this.#pendingBytes = bytesOf(this.#pending);
    this.#kept = this.#kept.filter(isOther);
    this.#keptBytes = bytesOf(this.#kept);
    await this.#store.reject(sequence);
  }

  /** Deletes the oldest kept batch. */
  async forgetOldest(): Promise<void> {
    const oldest = this.#kept.shift();
    if (oldest !== undefined) {
      this.#keptBytes -= oldest.bytes;
      await this.#store.remove(oldest.sequence);
    }
  }
}

function bytesOf(batches: readonly BatchRef[]): number {
  return batches.reduce((sum, { bytes }) => sum + bytes, 0);
}
