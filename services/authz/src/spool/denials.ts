import type { Series } from "./series.ts";
import type { Turn } from "./turn.ts";

/**
 * Denied calls, counted in memory and written when their segment is sealed: a denial charges nothing, and must not cost
 * a write. What a crash or a failed write takes with it is outside of every promise.
 */
export class Denials {
  #series: Series[] = [];
  #bytes = 0;

  /** Size of the names that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  /** One more denied call. What was counted in an earlier minute moves to the turn. */
  count(series: Series, minute: number, turn: Turn): void {
    if (series.deniedCalls === 0) {
      this.#series.push(series);
      this.#bytes += series.fields.length;
    } else if (series.deniedMinute !== minute) {
      turn.charge(series, series.deniedMinute, series.deniedCalls);
      series.deniedCalls = 0;
    }
    series.deniedMinute = minute;
    series.deniedCalls++;
  }

  /** Moves everything to the turn. */
  moveTo(turn: Turn): void {
    for (const series of this.#series) {
      turn.charge(series, series.deniedMinute, series.deniedCalls);
      series.deniedCalls = 0;
    }
    this.#series = [];
    this.#bytes = 0;
  }
}
