import type { Epoch } from "./epoch.ts";

/** How long acknowledged batches are kept: as far back as a restored metering may have been set. */
export const KEPT_MAX_AGE_MS = 60 * 60 * 1000;
/** One a second for an hour, and some. */
const KEPT_MAX_BATCHES = 4096;
/** So that an hour at full load does not fill the disk. */
const KEPT_MAX_BYTES = 1024 * 1024 * 1024;

/** All epochs that have batches, oldest first; the live one last. */
export class Backlog {
  readonly #removeEpoch: (epoch: number) => Promise<void>;
  #epochs: Epoch[] = [];
  #isPruning = false;
  #notify: () => void = () => {};

  /** @param removeEpoch deletes the traces of an epoch of which nothing is left */
  constructor(removeEpoch: (epoch: number) => Promise<void>) {
    this.#removeEpoch = removeEpoch;
  }

  get epochs(): readonly Epoch[] {
    return this.#epochs;
  }

  /** Batches that wait. */
  get pendingBatches(): number {
    return this.#epochs.reduce((sum, { pending }) => sum + pending.length, 0);
  }

  get pendingBytes(): number {
    return this.#epochs.reduce((sum, { pendingBytes }) => sum + pendingBytes, 0);
  }

  /** When the oldest waiting batch was sealed. */
  get oldestAtMs(): number | undefined {
    const oldest = this.#epochs.flatMap(({ pending }) => pending[0]?.atMs ?? []);
    return oldest.length === 0 ? undefined : Math.min(...oldest);
  }

  add(epoch: Epoch): void {
    this.#epochs.push(epoch);
  }

  /** Who is told when a batch has been sealed. */
  onSealed(notify: () => void): void {
    this.#notify = notify;
  }

  sealed(): void {
    this.#notify();
  }

  /** Deletes kept batches beyond the bounds, oldest first, and epochs that have come to their end. */
  async prune(nowMs: number): Promise<void> {
    if (this.#isPruning) {
      return;
    }
    this.#isPruning = true;
    try {
      await this.#prune(nowMs);
    } finally {
      this.#isPruning = false;
    }
  }

  async #prune(nowMs: number): Promise<void> {
    let batches = this.#epochs.reduce((sum, { kept }) => sum + kept.length, 0);
    let bytes = this.#epochs.reduce((sum, { keptBytes }) => sum + keptBytes, 0);
    for (const epoch of [...this.#epochs]) {
      for (let oldest = epoch.kept[0]; oldest !== undefined; oldest = epoch.kept[0]) {
        const isYoung = nowMs - oldest.atMs < KEPT_MAX_AGE_MS;
        if (isYoung && batches <= KEPT_MAX_BATCHES && bytes <= KEPT_MAX_BYTES) {
          break;
        }
        batches--;
        bytes -= oldest.bytes;
        await epoch.forgetOldest();
      }
      if (!epoch.isLive && epoch.pending.length === 0 && epoch.kept.length === 0) {
        this.#epochs = this.#epochs.filter((other) => other !== epoch);
        await this.#removeEpoch(epoch.number);
      }
    }
  }
}
