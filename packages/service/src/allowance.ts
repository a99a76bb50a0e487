/** So many a second, in the long run and at once. */
export interface AllowanceRate {
  readonly perSecond: number;
  readonly burst: number;
}

/** A bucket of tokens. Full at first; it fills up with time, and with what is given back. */
export class Allowance {
  readonly #rate: AllowanceRate;
  readonly #nowMs: () => number;
  #left: number;
  #atMs: number;

  constructor(rate: AllowanceRate, nowMs: () => number) {
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
