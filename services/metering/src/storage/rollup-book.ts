import type { DataSource } from "typeorm";
import type { Audit, Book } from "../domain/books.ts";
import { type ClockOffset, instant, nowMsExpression } from "./clock.ts";
import { floorOf } from "./partitions.ts";
import { series } from "./usage-rows.ts";
import { differing } from "./wallet-books.ts";

/** Quarters of one statement. */
const SLICE_MS = 3_600_000;

/** Every quarter of an hour beside the minutes that it is made of, as far back as minutes are kept and `spanMs` reaches. */
export class RollupBook implements Book {
  readonly name = "rollups";
  readonly #dataSource: DataSource;
  readonly #spanMs: number;
  readonly #offsetMs: ClockOffset;

  constructor(dataSource: DataSource, spanMs: number, offsetMs: ClockOffset = () => 0) {
    this.#dataSource = dataSource;
    this.#spanMs = spanMs;
    this.#offsetMs = offsetMs;
  }

  /** After a time; by default `spanMs` ago. */
  async audit(after?: string): Promise<Audit & { next: string | undefined }> {
    const [now] = await this.#dataSource.query<[{ now_ms: string; floor: Date | null }]>(
      `SELECT ${nowMsExpression} AS now_ms, ${floorOf("usage_minute")} AS floor`,
    );
    const nowMs = Number(now.now_ms) + this.#offsetMs();
    const askedMs = after === undefined ? nowMs - this.#spanMs : Number(after);
    // Whole hours are whole quarters; minutes are dropped by partitions, which begin at one.
    const startMs = Math.ceil(Math.max(askedMs, finite(now.floor)) / SLICE_MS) * SLICE_MS;
    const rows = await this.#dataSource.query<
      { of: string; start: Date; quarter: string; minutes: string }[]
    >(
      `WITH minutes AS (
         SELECT date_bin('15 minutes', start, 'epoch') AS start, ${series}, sum(units) AS units, sum(cost) AS cost
         FROM usage_minute WHERE start >= $1 AND start < $2 GROUP BY 1, ${series}),
       quarters AS (
         SELECT start, ${series}, units, cost FROM usage_quarter WHERE start >= $1 AND start < $2)
       SELECT start, concat_ws(' ', ${series}) AS of,
         coalesce(q.units, 0) || ' ' || coalesce(q.cost, 0) AS quarter,
         coalesce(m.units, 0) || ' ' || coalesce(m.cost, 0) AS minutes
       FROM quarters q FULL JOIN minutes m USING (start, ${series})`,
      [instant(startMs), instant(startMs + SLICE_MS)],
    );
    const differences = rows.flatMap(({ of, start, quarter, minutes }) =>
      differing("QUARTER", `${start.toISOString()} ${of}`, quarter, minutes),
    );
    const next = startMs + SLICE_MS;
    return { looked: rows.length, differences, next: next > nowMs ? undefined : String(next) };
  }
}

// Without a floor, or with one at minus infinity, every minute is there.
function finite(floor: Date | number | null): number {
  const ms = floor === null ? Number.NEGATIVE_INFINITY : Number(floor);
  return Number.isFinite(ms) ? ms : 0;
}
