import { sqlState } from "@gatehouse/changefeed";
import { invalid } from "@gatehouse/service/failure";
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
const invalidParameterValue = "22023";

export class PostgresUsageStore implements UsageStore {
  readonly #dataSource: DataSource;

  constructor(dataSource: DataSource) {
    this.#dataSource = dataSource;
  }

  async minutesFromMs(): Promise<number> {
    const [row] = await this.#dataSource.query<[{ from_ms: string }]>(
      `SELECT extract(epoch FROM ${floorOf("usage_minute")}) * 1000 AS from_ms`,
    );
    return Number(row.from_ms);
  }

  async sum(scope: UsageScope, query: UsageQuery, count: number): Promise<UsageRow[]> {
    const { text, parameters } = statement(scope, query, count);
    try {
      const rows = await this.#dataSource.query<Record<string, string>[]>(text, parameters);
      return rows.map((row) => rowOf(row, query));
    } catch (error) {
      // Zones come and go with the tz database, and Postgres has its own.
      if (sqlState(error) !== invalidParameterValue) throw error;
      throw invalid([{ field: "time_zone", description: "not known to the database" }], error);
    }
  }
}

function rowOf(row: Record<string, string>, { groups }: UsageQuery): UsageRow {
  return {
    startMs: Number(row.start_ms),
    meter: row.meter!,
    groups: Object.fromEntries(groups.map((group) => [group, row[columns[group]]!])),
    units: BigInt(row.units!),
  };
}

function statement(scope: UsageScope, query: UsageQuery, count: number) {
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
    ${beyond} ORDER BY ${keys.join(", ")} LIMIT ${bind(count, "int")}`;
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
