/** Misses a second that may turn out to be nothing, in the long run and at once. */
export interface MissRate {
  readonly perSecond: number;
  readonly burst: number;
}

/** For hashes of imported keys: junk that begins as they do costs no more than this, and they themselves nothing. */
export const UNKNOWN_HASHES: MissRate = { perSecond: 1000, burst: 2000 };

/**
 * Bounds what asking for things that are not there costs the source. Each question takes one, and what was there gives
 * it back: what exists is read as fast as it is asked for, `burst` at a time.
 */
export class MissBudget {
  readonly #rate: MissRate;
  readonly #nowMs: () => number;
  #left: number;
  #atMs: number;

  constructor(rate: MissRate, nowMs: () => number) {
    this.#rate = rate;
    this.#nowMs = nowMs;
    this.#left = rate.burst;
    this.#atMs = nowMs();
  }

  /** False: there is none left now. */
  take(): boolean {
    const nowMs = this.#nowMs();
    const refilled = (Math.max(nowMs - this.#atMs, 0) / 1000) * this.#rate.perSecond;
    this.#left = Math.min(this.#left + refilled, this.#rate.burst);
    this.#atMs = nowMs;
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }

  giveBack(): void {
    this.#left = Math.min(this.#left + 1, this.#rate.burst);
  }
}
