import type { UsageScope } from "../domain/query-usage.ts";
import { CHARGED } from "../domain/usage.ts";
import type { Group, UsageQuery } from "../domain/usage-query.ts";
import { QUARTER_MS } from "../domain/usage-span.ts";
import { instant } from "./clock.ts";
import { counted } from "./most-counted.ts";

export const groupColumns: Readonly<Record<Group, string>> = {
  ACCOUNT: "account_id",
  KEY: "key_id",
  RESOURCE: "resource",
  OUTCOME: "outcome",
};
const HOUR_MS = 4 * QUARTER_MS;
/** Beyond, the hours of the time are more than the rows are likely to be. */
const MAX_HOURS = 400 * 24;

/**
 * Sums usage in one statement, at one snapshot: rows by time, meter, groups and currency, after `query.after`. Rows that come to
 * nothing are left out.
 *
 * Whole hours are read from what accounts used, where nothing more is told apart; else, and up to and from whole hours,
 * quarters of an hour are read; and up to and from whole quarters, minutes. Every zone's hours begin at a quarter of an
 * hour of UTC, so that does for any granularity above the minute.
 */
export function usageStatement(scope: UsageScope, query: UsageQuery, count?: number) {
  const parameters: unknown[] = [];
  const bind: Bind = (value, type) => `$${parameters.push(value)}::${type}`;
  const { groups, after } = query;
  const keys = ["start", "meter", ...groups.map((group) => groupColumns[group]), "currency"];
  const grouped = keys.slice(1).join(", ");
  const sources = partsOf(scope, query).map((part) => source(part, scope, query, grouped, bind));
  const beyond =
    after === undefined
      ? ""
      : `WHERE (${keys.join(", ")}) > (${[bind(instant(after[0]), "timestamptz"), ...after.slice(1).map((text) => bind(text, "text"))].join(", ")})`;
  const text = `
    SELECT (extract(epoch FROM start) * 1000)::bigint AS start_ms, ${grouped}, units, cost
    FROM (SELECT start, ${grouped}, ${counted("sum(units)")} AS units, ${counted("sum(cost)")} AS cost
          FROM (${blanked(sources.join(" UNION ALL "), scope, query, keys, bind)}) AS u GROUP BY start, ${grouped} HAVING sum(units) <> 0 OR sum(cost) <> 0) AS g
    ${beyond} ORDER BY ${keys.join(", ")}
    ${count === undefined ? "" : `LIMIT ${bind(count, "int")}`}`;
  return { text, parameters };
}

/**
 * SQL: rows with the names out of the reader's reach blank. An account in reach is used by keys from above, and a key in
 * reach uses accounts below its own. Added up before, so that each name is looked for once.
 */
function blanked(
  rows: string,
  { kind, reader }: UsageScope,
  { groups }: UsageQuery,
  keys: readonly string[],
  bind: Bind,
): string {
  const group = kind === "ACCOUNT" ? "KEY" : "ACCOUNT";
  if (reader === undefined || !groups.includes(group)) return rows;
  const name = groupColumns[group];
  const shown = keys.map((key) =>
    key === name ? `CASE WHEN s.id IS NULL THEN '' ELSE r.${key} END AS ${key}` : `r.${key}`,
  );
  const own = bind(reader.accountId, "text");
  return `
    SELECT ${shown.join(", ")}, r.units, r.cost
    FROM (SELECT ${keys.join(", ")}, sum(units) AS units, sum(cost) AS cost FROM (${rows}) AS r GROUP BY ${keys.join(", ")}) AS r
    LEFT JOIN (${group === "KEY" ? "SELECT k.id, k.account_id FROM key k" : "SELECT id, id AS account_id FROM account"}) AS n
      ON n.id = r.${name}
    LEFT JOIN account s ON s.id = n.account_id AND ${reader.seesBelow ? `s.path @> ARRAY[${own}]` : `s.id = ${own}`}`;
}

type Bind = (value: unknown, type: string) => string;

interface Part {
  readonly table: "usage_minute" | "usage_quarter" | "usage_account";
  readonly fromMs: number;
  readonly toMs: number;
}

function partsOf(scope: UsageScope, query: UsageQuery): Part[] {
  const { granularity, startMs, endMs } = query;
  if (granularity === "MINUTE") return [{ table: "usage_minute", fromMs: startMs, toMs: endMs }];
  const outside: Part = { table: "usage_minute", fromMs: startMs, toMs: endMs };
  const quarters = within(outside, "usage_quarter", QUARTER_MS);
  if (!readsAccounts(scope, query)) return quarters;
  return quarters.flatMap((part) =>
    part.table === "usage_quarter" ? within(part, "usage_account", HOUR_MS) : [part],
  );
}

/** The part with its inner whole units of time read from another table. */
function within(part: Part, table: Part["table"], unitMs: number): Part[] {
  const firstMs = Math.ceil(part.fromMs / unitMs) * unitMs;
  const lastMs = Math.floor(part.toMs / unitMs) * unitMs;
  if (firstMs >= lastMs) return [part];
  return [
    { ...part, toMs: firstMs },
    { table, fromMs: firstMs, toMs: lastMs },
    { ...part, fromMs: lastMs },
  ].filter(({ fromMs, toMs }) => fromMs < toMs);
}

function readsAccounts({ kind }: UsageScope, { groups, granularity, startMs, endMs }: UsageQuery): boolean {
  if (kind !== "ACCOUNT" || groups.some((group) => group !== "ACCOUNT")) return false;
  return granularity === undefined || endMs - startMs <= MAX_HOURS * HOUR_MS;
}

function source(part: Part, scope: UsageScope, query: UsageQuery, grouped: string, bind: Bind): string {
  const { table, fromMs, toMs } = part;
  const from = bind(instant(fromMs), "timestamptz");
  const to = bind(instant(toMs), "timestamptz");
  const conditions = [`u.start >= ${from}`, `u.start < ${to}`, condition(scope, bind(scope.id, "text"))];
  if (query.meter !== undefined) conditions.push(`meter = ${bind(query.meter, "text")}`);
  const startOf = startExpression(query, bind);
  if (table === "usage_account") return accountSource(query, { from, to, conditions, grouped, startOf });
  // Rows of refused calls are counts, not usage: they show only where they can be told apart.
  if (!query.groups.includes("OUTCOME")) conditions.push(`outcome = '${CHARGED}'`);
  return `SELECT ${startOf("u.start")} AS start, ${grouped}, units::numeric, cost::numeric FROM ${table} u WHERE ${conditions.join(" AND ")}`;
}

/** SQL: where the span of time begins that a time is in. */
function startExpression({ granularity, timeZone, startMs }: UsageQuery, bind: Bind) {
  if (granularity === undefined) {
    const start = bind(instant(startMs), "timestamptz");
    return () => start;
  }
  const zone = bind(timeZone, "text");
  return (time: string) => `date_trunc('${granularity.toLowerCase()}', ${time}, ${zone})`;
}

interface AccountSource {
  readonly from: string;
  readonly to: string;
  readonly conditions: readonly string[];
  readonly grouped: string;
  readonly startOf: (time: string) => string;
}

/**
 * Hours are added up whole, but for those in which a span of the zone begins, such as a day of a half-hour zone: there each
 * part by itself. Which quarters of which hour are in which span is found out once for each hour, not for each row.
 */
function accountSource({ granularity }: UsageQuery, source: AccountSource): string {
  const { from, to, conditions, grouped, startOf } = source;
  const where = conditions.join(" AND ");
  const quarters = [0, 1, 2, 3];
  const sumOf = (column: string) =>
    granularity === undefined
      ? quarters.map((n) => `sum(${column}${n})`).join(" + ")
      : quarters.map((n) => `coalesce(sum(${column}${n}) FILTER (WHERE has${n}), 0)`).join(" + ");
  const sums = `${sumOf("q")} AS units, ${sumOf("c")} AS cost`;
  if (granularity === undefined) {
    return `SELECT ${startOf("")} AS start, ${grouped}, ${sums} FROM usage_account u WHERE ${where} GROUP BY ${grouped}`;
  }
  // Joined by an expression, so that rows are read one after another and not looked for hour by hour: the planner does
  // not know how many hours and accounts there are.
  return `(
    WITH part AS MATERIALIZED (
      SELECT hour, begins, ${quarters.map((n) => `bool_or(n = ${n}) AS has${n}`).join(", ")}
      FROM (SELECT hour, n, ${startOf("hour + n * interval '15 minutes'")} AS begins
            FROM generate_series(${from}, ${to} - interval '1 hour', interval '1 hour') AS hour,
              generate_series(0, 3) AS n) AS quarter
      GROUP BY hour, begins)
    SELECT begins AS start, ${grouped}, ${sums}
    FROM usage_account u JOIN part ON hour = u.start + interval '0' WHERE ${where} GROUP BY begins, ${grouped})`;
}

function condition({ kind, descendants }: UsageScope, id: string): string {
  if (kind === "KEY") return `key_id = ${id}`;
  if (!descendants) return `account_id = ${id}`;
  return `account_id IN (SELECT a.id FROM account a WHERE a.path @> ARRAY[${id}])`;
}
