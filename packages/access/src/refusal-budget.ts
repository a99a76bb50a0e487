const MINUTE_MS = 60_000;
/** Of one key in a minute: more than anybody reads; a key that is refused in a loop writes no gigabytes. */
export const MAX_REFUSALS = 1000;
/** Keys that are counted at once; past it counting begins anew. */
const MAX_KEYS = 100_000;

/** Bounds how many refused attempts of one key this replica puts on record. */
export class RefusalBudget {
  readonly #counts = new Map<string, number>();
  #minute = 0;

  /** Counts one, and says whether it is still to be put on record. */
  take(keyId: string, nowMs: number): boolean {
    const minute = Math.floor(nowMs / MINUTE_MS);
    if (minute !== this.#minute || this.#counts.size >= MAX_KEYS) this.#counts.clear();
    this.#minute = minute;
    const count = (this.#counts.get(keyId) ?? 0) + 1;
    this.#counts.set(keyId, count);
    return count <= MAX_REFUSALS;
  }
}
