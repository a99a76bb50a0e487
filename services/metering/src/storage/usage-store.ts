import { sqlState } from "@gatehouse/changefeed";
import { Failure, invalid, overloaded, unavailable } from "@gatehouse/service/failure";
import type { DataSource } from "typeorm";
import type { UsageRow, UsageScope, UsageStore } from "../domain/query-usage.ts";
import type { UsageQuery } from "../domain/usage-query.ts";
import { floorOf } from "./partitions.ts";
import { groupColumns, usageStatement } from "./usage-statement.ts";

/** Each keeps a connection and a snapshot, and there are other things to do. */
const MAX_STREAMS = 4;
/** What is held in memory of an export: some hundreds of kilobytes. */
const STREAM_ROWS = 1000;
/** A snapshot that nobody reads keeps the database from cleaning up. */
const STREAM_IDLE_MS = 30_000;
/** One that is always read a little keeps it as well. A million rows take some seconds. */
const STREAM_MS = 10 * 60_000;
const invalidParameterValue = "22023";

type SumRow = Record<string, string>;

export class PostgresUsageStore implements UsageStore {
  readonly #dataSource: DataSource;
  readonly #streamIdleMs: number;
  readonly #streamMs: number;
  /** Organizations: one's exports keep nobody else from theirs. */
  readonly #readers = new Set<string>();

  constructor(dataSource: DataSource, { streamIdleMs = STREAM_IDLE_MS, streamMs = STREAM_MS } = {}) {
    this.#dataSource = dataSource;
    this.#streamIdleMs = streamIdleMs;
    this.#streamMs = streamMs;
  }

  async minutesFromMs(): Promise<number> {
    const [row] = await this.#dataSource.query<[{ from_ms: string }]>(
      `SELECT extract(epoch FROM ${floorOf("usage_minute")}) * 1000 AS from_ms`,
    );
    return Number(row.from_ms);
  }

  async sum(scope: UsageScope, query: UsageQuery, count: number): Promise<UsageRow[]> {
    const { text, parameters } = usageStatement(scope, query, count);
    const rows = await zoned(this.#dataSource.query<SumRow[]>(text, parameters));
    return rows.map((row) => rowOf(row, query));
  }

  async *stream(
    organizationId: string,
    scope: UsageScope,
    queries: Iterable<UsageQuery>,
  ): AsyncGenerator<UsageRow[]> {
    if (this.#readers.has(organizationId))
      throw overloaded("an export of the organization is under way already");
    if (this.#readers.size === MAX_STREAMS) throw overloaded("too many exports are under way");
    this.#readers.add(organizationId);
    const untilMs = performance.now() + this.#streamMs;
    const runner = this.#dataSource.createQueryRunner();
    try {
      await runner.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
      await runner.query(`SET LOCAL idle_in_transaction_session_timeout = ${this.#streamIdleMs}`);
      for (const query of queries) {
        const { text, parameters } = usageStatement(scope, query);
        await zoned(runner.query(`DECLARE usage NO SCROLL CURSOR FOR ${text}`, parameters));
        for (;;) {
          // Only here: between two of these a reader that takes nothing has not long.
          if (performance.now() > untilMs) throw tooLong(this.#streamMs);
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
      this.#readers.delete(organizationId);
      // Nothing was written; a connection that cannot roll back is lost, and the pool sees that by itself.
      if (!runner.isReleased) await runner.query("ROLLBACK").catch(() => {});
      await runner.release();
    }
  }
}

function tooLong(ms: number): Failure {
  const message = `the export took longer than ${ms / 60_000} minutes; ask for less time at once`;
  return new Failure({ code: "DEADLINE_EXCEEDED", reason: "OVERLOADED", message });
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
    groups: Object.fromEntries(groups.map((group) => [group, row[groupColumns[group]]!])),
    units: BigInt(row.units!),
    cost: BigInt(row.cost!),
    currency: row.currency!,
  };
}
