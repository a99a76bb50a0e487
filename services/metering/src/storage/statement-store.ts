import type { ChangeLog } from "@gatehouse/changefeed";
import type { EntityManager } from "typeorm";
import type { CreditScope } from "../domain/credit-scope.ts";
import type { StatementStore, StatementTx } from "../domain/get-statement.ts";
import type { TransferKind } from "../domain/money.ts";
import type { Period, StatedBalance, StatedPeriod, StatementBody, UsageLine } from "../domain/statement.ts";
import { type ClockOffset, instant, readNowMs } from "./clock.ts";
import { latestBalance } from "./latest-balance.ts";
import { floorOf } from "./partitions.ts";
import { usageStatement } from "./usage-statement.ts";

export class PostgresStatementStore implements StatementStore {
  readonly #log: ChangeLog;
  readonly #offsetMs: ClockOffset;

  constructor(log: ChangeLog, offsetMs: ClockOffset = () => 0) {
    this.#log = log;
    this.#offsetMs = offsetMs;
  }

  async transact<T>(scope: CreditScope, work: (tx: StatementTx) => Promise<T>): Promise<T> {
    const { value } = await this.#log.commit(async (tx) => {
      // Two statements of one account given at once would both state what came late.
      await tx.gate({ changed: [`statements:${scope.accountId}`] });
      return work(new PostgresStatementTx(tx.manager, this.#offsetMs));
    });
    return value;
  }
}

class PostgresStatementTx implements StatementTx {
  readonly #manager: EntityManager;
  readonly #offsetMs: ClockOffset;

  constructor(manager: EntityManager, offsetMs: ClockOffset) {
    this.#manager = manager;
    this.#offsetMs = offsetMs;
  }

  nowMs(): Promise<number> {
    return readNowMs(this.#manager, this.#offsetMs);
  }

  async earlier(scope: CreditScope, month: Period, count: number): Promise<readonly StatedPeriod[]> {
    const rows = await this.#manager.query<{ start_at: Date; end_at: Date; said: LineRow[] }[]>(
      `WITH series AS (
         SELECT start_at, end_at, body FROM statement
         WHERE account_id = $1 AND descendants = $2 AND time_zone = $3),
       earlier AS MATERIALIZED (
         SELECT * FROM series WHERE end_at <= $4 ORDER BY end_at DESC LIMIT $5),
       -- Also in statements of later months than the one asked for, where those were given first.
       adjusted AS (
         SELECT (line ->> 'startMs')::bigint AS start_ms, (line ->> 'endMs')::bigint AS end_ms, jsonb_agg(line) AS lines
         FROM series, jsonb_array_elements(body -> 'adjustments') AS line
         WHERE start_at > (SELECT min(start_at) FROM earlier) GROUP BY 1, 2)
       SELECT start_at, end_at, body -> 'usage' || coalesce(lines, '[]') AS said
       FROM earlier LEFT JOIN adjusted ON start_ms = extract(epoch FROM start_at) * 1000
         AND end_ms = extract(epoch FROM end_at) * 1000
       ORDER BY end_at DESC`,
      [...seriesOf(scope, month), instant(month.startMs), count],
    );
    return rows.map(({ start_at, end_at, said }) => ({
      period: { timeZone: month.timeZone, startMs: start_at.getTime(), endMs: end_at.getTime() },
      said: said.map(counted),
    }));
  }

  async given(scope: CreditScope, period: Period): Promise<StatementBody | undefined> {
    const rows = await this.#manager.query<{ body: BodyRow }[]>(
      `SELECT body FROM statement
       WHERE account_id = $1 AND descendants = $2 AND time_zone = $3 AND start_at = $4 AND end_at = $5`,
      [...seriesOf(scope, period), instant(period.startMs), instant(period.endMs)],
    );
    return rows.map(({ body }) => bodyOf(body))[0];
  }

  async zones({ accountId, descendants }: CreditScope): Promise<readonly string[]> {
    // Spans were kept once, without a zone.
    const rows = await this.#manager.query<{ time_zone: string }[]>(
      `SELECT DISTINCT time_zone FROM statement
       WHERE account_id = $1 AND descendants = $2 AND time_zone <> ''`,
      [accountId, descendants],
    );
    return rows.map(({ time_zone }) => time_zone);
  }

  async usageKeptFromMs(): Promise<number> {
    const [row] = await this.#manager.query<[{ from_ms: string }]>(
      `SELECT extract(epoch FROM greatest(${floorOf("usage_quarter")}, ${floorOf("usage_account")})) * 1000 AS from_ms`,
    );
    return Number(row.from_ms);
  }

  async balances({ accountId, descendants }: CreditScope, period: Period): Promise<readonly StatedBalance[]> {
    const of = descendants ? "a.path @> ARRAY[$1]" : "a.id = $1";
    const rows = await this.#manager.query<{ currency: string; opening: string; sums: SumsRow | null }[]>(
      `WITH mine AS MATERIALIZED (
         SELECT w.id, w.currency FROM account a JOIN wallet w ON w.account_id = a.id WHERE ${of}),
       -- Up to and from whole hours.
       edge(since, until) AS (VALUES ($2::timestamptz, $4::timestamptz), ($5::timestamptz, $3::timestamptz)),
       moved AS (
         SELECT w.currency, h.kind, h.amount FROM mine w JOIN wallet_hour h ON h.wallet_id = w.id
         WHERE h.hour >= $4 AND h.hour < $5
         UNION ALL
         SELECT w.currency, t.kind, t.amount FROM edge, mine w JOIN ledger_transfer t ON t.to_wallet = w.id
         WHERE t.to_balance IS NOT NULL AND t.at >= edge.since AND t.at < edge.until
         UNION ALL
         SELECT w.currency, t.kind, -t.amount FROM edge, mine w JOIN ledger_transfer t ON t.from_wallet = w.id
         WHERE t.from_balance IS NOT NULL AND t.at >= edge.since AND t.at < edge.until),
       sums AS (
         SELECT currency, json_object_agg(kind, amount::text) AS sums
         FROM (SELECT currency, kind, sum(amount) AS amount FROM moved GROUP BY 1, 2) AS s GROUP BY 1),
       openings AS (
         SELECT w.currency, sum(coalesce(${latestBalance("w.id", "t.at < $2")}, 0)) AS opening FROM mine w GROUP BY 1)
       SELECT currency, opening::text, sums FROM openings LEFT JOIN sums USING (currency)
       WHERE opening <> 0 OR sums IS NOT NULL ORDER BY currency`,
      [accountId, ...[period.startMs, period.endMs, ...wholeHours(period)].map(instant)],
    );
    return rows.map(({ currency, opening, sums }) =>
      balanceOf(currency, BigInt(opening), sumsOf(sums ?? {})),
    );
  }

  async usage(
    { accountId, descendants }: CreditScope,
    { timeZone = "UTC", startMs, endMs }: Period,
    count: number,
  ): Promise<readonly UsageLine[]> {
    const query = { granularity: undefined, timeZone, startMs, endMs, meter: undefined, after: undefined };
    const { text, parameters } = usageStatement(
      { kind: "ACCOUNT", id: accountId, descendants, reader: undefined },
      { ...query, groups: ["ACCOUNT"], pageSize: count },
      count,
    );
    const rows = await this.#manager.query<UsageRow[]>(text, parameters);
    return rows.map(({ account_id, meter, currency, units, cost }) => ({
      accountId: account_id,
      meter,
      currency,
      units: BigInt(units),
      cost: BigInt(cost),
    }));
  }

  async give(scope: CreditScope, period: Period, { balances, ...lines }: StatementBody): Promise<void> {
    const body = { balances: balances.map(({ closing: _, ...balance }) => balance), ...lines };
    await this.#manager.query(
      `INSERT INTO statement (account_id, descendants, time_zone, start_at, end_at, body)
       VALUES ($1, $2, $3, $4, $5, $6)`,
      [
        ...seriesOf(scope, period),
        instant(period.startMs),
        instant(period.endMs),
        JSON.stringify(body, (_, value) => (typeof value === "bigint" ? `${value}` : value)),
      ],
    );
  }
}

/** Where its whole hours begin and end; both where it begins if it has none. */
function wholeHours({ startMs, endMs }: Period): [fromMs: number, toMs: number] {
  const [fromMs, toMs] = [Math.ceil(startMs / HOUR_MS) * HOUR_MS, Math.floor(endMs / HOUR_MS) * HOUR_MS];
  return fromMs < toMs ? [fromMs, toMs] : [startMs, startMs];
}

const HOUR_MS = 3_600_000;

interface UsageRow {
  readonly account_id: string;
  readonly meter: string;
  readonly currency: string;
  readonly units: string;
  readonly cost: string;
}

type SumsRow = Readonly<Partial<Record<TransferKind, string>>>;

/** Of what is a bigint in a statement: text. */
interface LineRow {
  readonly accountId: string;
  readonly meter: string;
  readonly currency: string;
  readonly units: string;
  readonly cost: string;
}

interface BodyRow {
  readonly balances: readonly {
    readonly currency: string;
    readonly opening: string;
    readonly sums: SumsRow;
  }[];
  readonly usage: readonly LineRow[];
  readonly adjustments: readonly (LineRow & { readonly startMs: number; readonly endMs: number })[];
}

function bodyOf({ balances, usage, adjustments }: BodyRow): StatementBody {
  return {
    balances: balances.map(({ currency, opening, sums }) =>
      balanceOf(currency, BigInt(opening), sumsOf(sums)),
    ),
    usage: usage.map(counted),
    adjustments: adjustments.map(counted),
  };
}

function balanceOf(currency: string, opening: bigint, sums: StatedBalance["sums"]): StatedBalance {
  const closing = Object.values(sums).reduce((sum, amount) => sum + amount, opening);
  return { currency, opening, closing, sums };
}

function sumsOf(row: SumsRow): StatedBalance["sums"] {
  return Object.fromEntries(Object.entries(row).map(([kind, amount]) => [kind, BigInt(amount)]));
}

function counted<Row extends LineRow>(row: Row) {
  return { ...row, units: BigInt(row.units), cost: BigInt(row.cost) };
}

function seriesOf({ accountId, descendants }: CreditScope, { timeZone }: Period): [string, boolean, string] {
  return [accountId, descendants, timeZone ?? ""];
}
