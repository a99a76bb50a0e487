import { sqlState } from "@gatehouse/changefeed";
import { invalid, overloaded, unavailable } from "@gatehouse/service/failure";
import type { DataSource } from "typeorm";
import type { UsageRow, UsageScope, UsageStore } from "../domain/query-usage.ts";
import { CHARGED } from "../domain/usage.ts";
import type { Group, UsageQuery } from "../domain/usage-query.ts";
import { QUARTER_MS } from "../domain/usage-span.ts";
import { instant } from "./clock.ts";
import { counted } from "./most-counted.ts";
import { floorOf } from "./partitions.ts";

const columns: Readonly<Record<Group, string>> = {
  ACCOUNT: "account_id",
  KEY: "key_id",
  RESOURCE: "resource",
  OUTCOME: "outcome",
};
/** Each keeps a connection and a snapshot, and there are other things to do. */
const MAX_STREAMS = 4;
/** What is held in memory of an export: some hundreds of kilobytes. */
const STREAM_ROWS = 1000;
/** A snapshot that nobody reads keeps the database from cleaning up. */
const STREAM_IDLE_MS = 30_000;
const invalidParameterValue = "22023";

type SumRow = Record<string, string>;

export class PostgresUsageStore implements UsageStore {
  readonly #dataSource: DataSource;
  readonly #streamIdleMs: number;
  #streams = 0;

  constructor(dataSource: DataSource, streamIdleMs = STREAM_IDLE_MS) {
    this.#dataSource = dataSource;
    this.#streamIdleMs = streamIdleMs;
  }

  async minutesFromMs(): Promise<number> {
    const [row] = await this.#dataSource.query<[{ from_ms: string }]>(
      `SELECT extract(epoch FROM ${floorOf("usage_minute")}) * 1000 AS from_ms`,
    );
    return Number(row.from_ms);
  }

  async sum(scope: UsageScope, query: UsageQuery, count: number): Promise<UsageRow[]> {
    const { text, parameters } = statement(scope, query, count);
    const rows = await zoned(this.#dataSource.query<SumRow[]>(text, parameters));
    return rows.map((row) => rowOf(row, query));
  }

  async *stream(scope: UsageScope, queries: Iterable<UsageQuery>): AsyncGenerator<UsageRow[]> {
    if (this.#streams === MAX_STREAMS) throw overloaded("too many exports are under way");
    this.#streams++;
    const runner = this.#dataSource.createQueryRunner();
    try {
      await runner.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
      await runner.query(`SET LOCAL idle_in_transaction_session_timeout = ${this.#streamIdleMs}`);
      for (const query of queries) {
        const { text, parameters } = statement(scope, query);
        await zoned(runner.query(`DECLARE usage NO SCROLL CURSOR FOR ${text}`, parameters));
        for (;;) {
          const rows = (await zoned(runner.query(`FETCH ${STREAM_ROWS} FROM usage`))) as SumRow[];
          if (rows.length > 0) yield rows.map((row) => rowOf(row, query));
          if (rows.length < STREAM_ROWS) break;
        }
        await runner.query("CLOSE usage");
      }
    } catch (error) {
      if (runner.isReleased) throw unavailable("the export was not read for too long", error);
      throw error;
    } finally {
      this.#streams--;
      // Nothing was written; a connection that cannot roll back is lost, and the pool sees that by itself.
      if (!runner.isReleased) await runner.query("ROLLBACK").catch(() => {});
      await runner.release();
    }
  }
}

async function zoned<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    // Zones come and go with the tz database, and Postgres has its own.
    if (sqlState(error) !== invalidParameterValue) throw error;
    throw invalid([{ field: "time_zone", description: "not known to the database" }], error);
  }
}

function rowOf(row: SumRow, { groups }: UsageQuery): UsageRow {
  return {
    startMs: Number(row.start_ms),
    meter: row.meter!,
    groups: Object.fromEntries(groups.map((group) => [group, row[columns[group]]!])),
    units: BigInt(row.units!),
  };
}

function statement(scope: UsageScope, query: UsageQuery, count?: number) {
  const parameters: unknown[] = [];
  const bind = (value: unknown, type: string) => `$${parameters.push(value)}::${type}`;
  const instantOf = (ms: number) => bind(instant(ms), "timestamptz");
  const { groups, granularity, timeZone, startMs, meter, after } = query;

  const conditions = [condition(scope, bind(scope.id, "text"))];
  if (meter !== undefined) conditions.push(`meter = ${bind(meter, "text")}`);
  // Rows of refused calls are counts, not usage: they show only where they can be told apart.
  if (!groups.includes("OUTCOME")) conditions.push(`outcome = '${CHARGED}'`);
  const sources = parts(query).map(
    ({ table, fromMs, toMs }) =>
      `SELECT start, account_id, key_id, meter, resource, outcome, units FROM ${table}
       WHERE start >= ${instantOf(fromMs)} AND start < ${instantOf(toMs)} AND ${conditions.join(" AND ")}`,
  );
  const span =
    granularity === undefined
      ? instantOf(startMs)
      : `date_trunc('${granularity.toLowerCase()}', start, ${bind(timeZone, "text")})`;
  const keys = ["start", "meter", ...groups.map((group) => columns[group])];
  const grouped = keys.slice(1).join(", ");
  const beyond =
    after === undefined
      ? ""
      : `WHERE (${keys.join(", ")}) > (${[instantOf(after[0]), ...after.slice(1).map((text) => bind(text, "text"))].join(", ")})`;
  const text = `
    SELECT (extract(epoch FROM start) * 1000)::bigint AS start_ms, ${grouped}, units
    FROM (SELECT ${span} AS start, ${grouped}, ${counted("sum(units)")} AS units
          FROM (${sources.join(" UNION ALL ")}) AS u GROUP BY 1, ${grouped}) AS g
    ${beyond} ORDER BY ${keys.join(", ")}
    ${count === undefined ? "" : `LIMIT ${bind(count, "int")}`}`;
  return { text, parameters };
}

function condition({ kind, descendants }: UsageScope, id: string): string {
  if (kind === "KEY") return `key_id = ${id}`;
  if (!descendants) return `account_id = ${id}`;
  return `account_id IN (SELECT a.id FROM account a WHERE a.path @> ARRAY[${id}])`;
}

/**
 * Whole quarters are read from quarters, and only the ends of the time from minutes. Every zone's hours begin at
 * a quarter of an hour of UTC, so that does for any granularity above the minute.
 */
function parts({ granularity, startMs, endMs }: UsageQuery) {
  const minutes = (fromMs: number, toMs: number) => ({ table: "usage_minute", fromMs, toMs });
  const firstMs = Math.ceil(startMs / QUARTER_MS) * QUARTER_MS;
  const lastMs = Math.floor(endMs / QUARTER_MS) * QUARTER_MS;
  if (granularity === "MINUTE" || firstMs >= lastMs) return [minutes(startMs, endMs)];
  return [
    ...(startMs < firstMs ? [minutes(startMs, firstMs)] : []),
    { table: "usage_quarter", fromMs: firstMs, toMs: lastMs },
    ...(lastMs < endMs ? [minutes(lastMs, endMs)] : []),
  ];
}
