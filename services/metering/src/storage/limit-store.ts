import type { ChangeLog } from "@gatehouse/changefeed";
import type { DataSource } from "typeorm";
import type { Actor } from "../domain/actor.ts";
import type { Limit, LimitTerms } from "../domain/limit.ts";
import type { BucketReading, LimitScope, LimitStore, LimitTx } from "../domain/limit-store.ts";
import { type ClockOffset, instant, readNowMs } from "./clock.ts";
import { findLimit, sameLimits } from "./find-limits.ts";
import { type LimitRow, limitColumns, limitOf } from "./limit-row.ts";
import { PostgresLimitTx } from "./limit-tx.ts";
import { outdatedAmong, PlanLimits } from "./plan-limits.ts";
import { isOfWindow } from "./quota-windows.ts";
import { type RateRow, rateStateOf } from "./rate-row.ts";

export class PostgresLimitStore implements LimitStore {
  readonly #dataSource: DataSource;
  readonly #log: ChangeLog;
  readonly #offsetMs: ClockOffset;
  readonly #plans: PlanLimits;

  constructor(dataSource: DataSource, log: ChangeLog, offsetMs: ClockOffset = () => 0) {
    this.#dataSource = dataSource;
    this.#log = log;
    this.#offsetMs = offsetMs;
    this.#plans = new PlanLimits(log, offsetMs);
  }

  async mutate<T>(
    nodeIds: readonly string[],
    actor: Actor,
    work: (tx: LimitTx) => Promise<T>,
  ): Promise<{ value: T; freshness: string }> {
    await this.#bringUpToDate(nodeIds);
    return this.#log.commit(async (tx) => {
      await tx.gate({ changed: nodeIds });
      for (const nodeId of nodeIds) tx.changed("limits", nodeId);
      return work(new PostgresLimitTx(tx, actor, this.#offsetMs));
    });
  }

  find(limitId: string): Promise<Limit | undefined> {
    return findLimit(this.#dataSource.manager, limitId);
  }

  async sameOn(nodeIds: readonly string[], terms: LimitTerms): Promise<Limit[]> {
    await this.#bringUpToDate(nodeIds);
    return sameLimits(this.#dataSource.manager, nodeIds, terms);
  }

  async list({ nodeId, breadth }: LimitScope, afterId: string, count: number): Promise<Limit[]> {
    await this.#bringUpToDate([nodeId]);
    const rows = await this.#dataSource.query<LimitRow[]>(
      `SELECT ${limitColumns} FROM node_limit l WHERE ${inScope[breadth]} AND l.id > $2 ORDER BY l.id LIMIT $3`,
      [nodeId, afterId, count],
    );
    return rows.map(limitOf);
  }

  async readBuckets(
    nodeIds: readonly string[],
    holder = "",
  ): Promise<{ nowMs: number; buckets: BucketReading[] }> {
    await this.#bringUpToDate(nodeIds);
    const nowMs = await readNowMs(this.#dataSource.manager, this.#offsetMs);
    const rows = await this.#dataSource.query<ReadingRow[]>(
      `SELECT ${limitColumns}, q.spent AS quota_spent, q.leased AS quota_leased, q.window_end, q.shares_drawn,
         CASE WHEN r.limit_id IS NOT NULL THEN to_jsonb(r) END AS rate,
         coalesce((SELECT sum(greatest(e.units - e.spent, 0)) FROM quota_lease e
           WHERE e.bucket_id = ANY(q.ids) AND e.holder = $3 AND NOT e.closed AND NOT e.forfeited
             AND e.limit_id = coalesce((SELECT l.id || '@' || s.node_id FROM node_limit s
               WHERE s.reserved_of = l.id AND s.node_id = ANY($1) LIMIT 1), l.id)), 0)
         + coalesce((SELECT sum(greatest(e.units - e.spent, 0)) FROM rate_lease e
           WHERE e.limit_id = l.id AND e.holder = $3), 0) AS leased_to_holder
       FROM node_limit l
       LEFT JOIN LATERAL (
         SELECT array_agg(b.id) AS ids, sum(spent) AS spent, sum(leased) AS leased, min(window_end) AS window_end,
           jsonb_object_agg(share_node, spent + leased) FILTER (WHERE share_node <> '') AS shares_drawn
         FROM quota_bucket b WHERE b.limit_id = l.id AND ${isOfWindow}) AS q ON true
       LEFT JOIN rate_bucket r ON r.limit_id = l.id
       WHERE l.node_id = ANY($1) ORDER BY l.id`,
      [nodeIds, instant(nowMs), holder],
    );
    return { nowMs, buckets: rows.map(readingOf) };
  }

  async allocatedBelow(accountIds: readonly string[]): Promise<Map<string, bigint>> {
    // Each child once, however many limits are on its parent.
    const rows = await this.#dataSource.query<{ id: string; units: string }[]>(
      `SELECT l.id, least(b.units, 9223372036854775807) AS units FROM node_limit l JOIN (
         SELECT a.parent_id, c.meter, c.resource, c.kind, c.interval_ms, c.window_kind, sum(c.units) AS units
         FROM account a JOIN node_limit c ON c.node_id = a.id WHERE a.parent_id = ANY($1)
         GROUP BY a.parent_id, c.meter, c.resource, c.kind, c.interval_ms, c.window_kind) AS b
       ON l.node_id = b.parent_id AND l.meter = b.meter AND l.resource = b.resource AND l.kind = b.kind
         AND l.interval_ms IS NOT DISTINCT FROM b.interval_ms AND l.window_kind IS NOT DISTINCT FROM b.window_kind
       WHERE l.node_id = ANY($1)`,
      [accountIds],
    );
    return new Map(rows.map((row) => [row.id, BigInt(row.units)]));
  }

  async #bringUpToDate(nodeIds: readonly string[]): Promise<void> {
    const [row] = await this.#dataSource.query<[{ outdated: string[] }]>(
      `SELECT ${outdatedAmong("$1")} AS outdated`,
      [nodeIds],
    );
    await this.#plans.applyTo(row.outdated);
  }
}

/** SQL: whether the limit is one of those of the node `$1`. */
const inScope: Readonly<Record<LimitScope["breadth"], string>> = {
  NODE: "l.node_id = $1",
  KEYS: "(l.node_id = $1 OR l.node_id IN (SELECT k.id FROM key k WHERE k.account_id = $1))",
  BELOW: `l.node_id IN (
    SELECT a.id FROM account a WHERE a.path @> ARRAY[$1]
    UNION ALL SELECT k.id FROM account a JOIN key k ON k.account_id = a.id WHERE a.path @> ARRAY[$1])`,
  ALL: "$1 <> ''",
};

interface ReadingRow extends LimitRow {
  readonly quota_spent: string | null;
  readonly quota_leased: string | null;
  readonly window_end: Date | null;
  readonly shares_drawn: Record<string, number> | null;
  readonly rate: RateRow | null;
  readonly leased_to_holder: string;
}

function readingOf(row: ReadingRow): BucketReading {
  const quota = row.quota_spent !== null && {
    spent: Number(row.quota_spent),
    leased: Number(row.quota_leased),
    endMs: row.window_end?.getTime(),
    ...(row.shares_drawn !== null && { drawnOfShares: new Map(Object.entries(row.shares_drawn)) }),
  };
  return {
    limit: limitOf(row),
    quota: quota || undefined,
    rate: row.rate === null ? undefined : rateStateOf(row.rate),
    leasedToHolder: Number(row.leased_to_holder),
  };
}
