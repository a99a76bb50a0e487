import type { KeyEntry } from "./entry.ts";

/** The last use of keys, by key id, in Unix milliseconds. Settles within its own deadline. */
export type ActivityReport = (uses: ReadonlyMap<string, number>) => Promise<void>;

/** Keys waiting to be reported; of more, the uses are lost. */
const CAPACITY = 200_000;
/** Keys in one report, as the proto bounds it. */
const MAX_KEYS = 1000;

/**
 * Which keys were used, on its way to identity, about once a second. A use sets a number on the key's entry, and only
 * the first of a round puts the entry on a list. What a crash loses was of no more than the last rounds.
 */
export class Activity {
  readonly #report: ActivityReport;
  #round = 1;
  #used: KeyEntry[] = [];
  /** What no report has taken yet. */
  readonly #waiting = new Map<string, number>();

  constructor(report: ActivityReport) {
    this.#report = report;
  }

  /** Uses that identity has yet to hear of. */
  get backlog(): number {
    return this.#used.length + this.#waiting.size;
  }

  used(entry: KeyEntry, nowMs: number): void {
    entry.usedAtMs = nowMs;
    if (entry.usedInRound === this.#round || this.#used.length >= CAPACITY) return;
    entry.usedInRound = this.#round;
    this.#used.push(entry);
  }

  /** Ends a round and reports it, with what is left of those before. Rejects where identity does not take it. */
  async flush(): Promise<void> {
    const used = this.#used;
    this.#used = [];
    this.#round++;
    for (const { key, usedAtMs } of used) {
      if (this.#waiting.size >= CAPACITY && !this.#waiting.has(key.id)) continue;
      // A changed key has two entries: the later use counts, whichever comes first.
      this.#waiting.set(key.id, Math.max(usedAtMs, this.#waiting.get(key.id) ?? 0));
    }
    while (this.#waiting.size > 0) {
      const uses = new Map(this.#waiting.entries().take(MAX_KEYS));
      await this.#report(uses);
      for (const [keyId, usedAtMs] of uses) {
        if (this.#waiting.get(keyId) === usedAtMs) this.#waiting.delete(keyId);
      }
    }
  }
}
