import type { DataSource } from "typeorm";
import type { Audit, Book, Difference } from "../domain/books.ts";
import { CHARGED } from "../domain/usage.ts";
import { type ClockOffset, instant, nowMsExpression } from "./clock.ts";
import { floorOf } from "./partitions.ts";
import { series } from "./usage-rows.ts";
import { differing } from "./wallet-books.ts";

/** Quarters of one statement. */
const SLICE_MS = 3_600_000;

/** A table beside the one that it sums. */
interface Rollup {
  readonly what: Difference["what"];
  readonly series: string;
  /** From when on both are whole. SQL. */
  readonly floor: string;
  /** Of a time, by quarter of an hour and series: `start`, the series, `units`, `cost`. SQL. */
  readonly sums: string;
  readonly parts: string;
}

const IN_TIME = "start >= $1 AND start < $2";

/** What keys used by quarters, and the minutes that these are made of. */
const quarters: Rollup = {
  what: "QUARTER",
  series,
  floor: floorOf("usage_minute"),
  sums: `SELECT start, ${series}, units, cost FROM usage_quarter WHERE ${IN_TIME}`,
  parts: `SELECT date_bin('15 minutes', start, 'epoch') AS start, ${series}, sum(units) AS units, sum(cost) AS cost
    FROM usage_minute WHERE ${IN_TIME} GROUP BY 1, ${series}`,
};

const accountSeries = "account_id, meter, currency";

/** What accounts used by hours, each quarter of it apart, and the quarters of their keys. */
const hours: Rollup = {
  what: "ACCOUNT_QUARTER",
  series: accountSeries,
  floor: `greatest(${floorOf("usage_quarter")}, ${floorOf("usage_account")})`,
  sums: `SELECT start + n * interval '15 minutes' AS start, ${accountSeries},
      (ARRAY[q0, q1, q2, q3])[n + 1] AS units, (ARRAY[c0, c1, c2, c3])[n + 1] AS cost
    FROM usage_account, generate_series(0, 3) AS n WHERE ${IN_TIME}`,
  parts: `SELECT start, ${accountSeries}, sum(units) AS units, sum(cost) AS cost
    FROM usage_quarter WHERE ${IN_TIME} AND outcome = '${CHARGED}' GROUP BY start, ${accountSeries}`,
};

/** Sums of usage beside what they are made of, as far back as that is kept and `spanMs` reaches. */
export class RollupBook implements Book {
  readonly name: string;
  readonly #rollup: Rollup;
  readonly #dataSource: DataSource;
  readonly #spanMs: number;
  readonly #offsetMs: ClockOffset;

  private constructor(
    name: string,
    rollup: Rollup,
    dataSource: DataSource,
    spanMs: number,
    offsetMs: ClockOffset = () => 0,
  ) {
    this.name = name;
    this.#rollup = rollup;
    this.#dataSource = dataSource;
    this.#spanMs = spanMs;
    this.#offsetMs = offsetMs;
  }

  /** Quarters of an hour beside their minutes. */
  static ofQuarters(dataSource: DataSource, spanMs: number, offsetMs?: ClockOffset): RollupBook {
    return new RollupBook("quarters", quarters, dataSource, spanMs, offsetMs);
  }

  /** Accounts' hours beside their quarters. */
  static ofAccounts(dataSource: DataSource, spanMs: number, offsetMs?: ClockOffset): RollupBook {
    return new RollupBook("accounts' hours", hours, dataSource, spanMs, offsetMs);
  }

  /** The first slice begins `spanMs` ago, or where the tables begin. */
  async end(after?: string): Promise<string | undefined> {
    const [now] = await this.#dataSource.query<[{ now_ms: string; floor: Date | null }]>(
      `SELECT ${nowMsExpression} AS now_ms, ${this.#rollup.floor} AS floor`,
    );
    const nowMs = Number(now.now_ms) + this.#offsetMs();
    const askedMs = after === undefined ? nowMs - this.#spanMs : Number(after);
    // Whole hours are whole quarters; usage is dropped by partitions, which begin at one.
    const startMs = Math.ceil(Math.max(askedMs, finite(now.floor)) / SLICE_MS) * SLICE_MS;
    return startMs + SLICE_MS > nowMs ? undefined : String(startMs + SLICE_MS);
  }

  async audit(after?: string, end?: string): Promise<Audit> {
    const startMs = end === undefined ? Number(after) : Number(end) - SLICE_MS;
    if (Number.isNaN(startMs)) return { looked: 0, differences: [] };
    const { what, series, floor, sums, parts } = this.#rollup;
    const rows = await this.#dataSource.query<{ of: string; start: Date; is: string; should_be: string }[]>(
      `WITH sums AS (${sums}), parts AS (${parts})
       SELECT start, concat_ws(' ', ${series}) AS of,
         coalesce(s.units, 0) || ' ' || coalesce(s.cost, 0) AS is,
         coalesce(p.units, 0) || ' ' || coalesce(p.cost, 0) AS should_be
       FROM sums s FULL JOIN parts p USING (start, ${series}) WHERE start >= ${floor}`,
      [instant(startMs), instant(startMs + SLICE_MS)],
    );
    const differences = rows.flatMap(({ of, start, is, should_be }) =>
      differing(what, `${start.toISOString()} ${of}`, is, should_be),
    );
    return { looked: rows.length, differences };
  }
}

// Without a floor, or with one at minus infinity, everything is there.
function finite(floor: Date | number | null): number {
  const ms = floor === null ? Number.NEGATIVE_INFINITY : Number(floor);
  return Number.isFinite(ms) ? ms : 0;
}
