import type { RateState } from "@gatehouse/buckets";
import type { ChangeLog, Tx } from "@gatehouse/changefeed";
import type { DataSource, EntityManager } from "typeorm";
import type { Limit, LimitTerms, NodeRef, ReservedShare } from "../domain/limit.ts";
import type {
  Actor,
  BucketReading,
  LimitAudit,
  LimitScope,
  LimitStore,
  LimitTx,
  QuotaReading,
} from "../domain/limit-store.ts";
import { writeAudit } from "./audit.ts";
import { type ClockOffset, instant, readNowMs } from "./clock.ts";
import { changeableOf, identityOf, type LimitRow, limitColumns, limitOf } from "./limit-row.ts";
import { notifyFreed } from "./notice.ts";
import { forgetShares, outdatedAmong, PlanLimits, planTermsOf } from "./plan-limits.ts";
import { isOfWindow, renewQuotaWindow } from "./quota-windows.ts";
import { putRateStates, type RateRow, rateColumns, rateStateOf } from "./rate-row.ts";
import { recallLeases } from "./recall.ts";

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
    return findSame(this.#dataSource.manager, nodeIds, terms);
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

class PostgresLimitTx implements LimitTx {
  readonly #manager: EntityManager;
  readonly #actor: Actor;
  readonly #offsetMs: ClockOffset;

  constructor(tx: Tx, actor: Actor, offsetMs: ClockOffset) {
    this.#manager = tx.manager;
    this.#actor = actor;
    this.#offsetMs = offsetMs;
  }

  nowMs(): Promise<number> {
    return readNowMs(this.#manager, this.#offsetMs);
  }

  find(limitId: string): Promise<Limit | undefined> {
    return findLimit(this.#manager, limitId);
  }

  async same(node: NodeRef, terms: LimitTerms): Promise<Limit | undefined> {
    const [limit] = await findSame(this.#manager, [node.id], terms);
    if (limit !== undefined) await this.#lockQuota(limit.id);
    return limit;
  }

  async countOwn(node: NodeRef): Promise<number> {
    const [row] = await this.#manager.query<[{ count: string }]>(
      "SELECT count(*) FROM node_limit WHERE node_id = $1 AND source = 'OWN'",
      [node.id],
    );
    return Number(row.count);
  }

  async insert(id: string, node: NodeRef, terms: LimitTerms): Promise<Limit> {
    const [row] = await this.#manager.query<[LimitRow]>(
      `INSERT INTO node_limit AS l (id, node_kind, node_id, meter, resource, kind, interval_ms, window_kind,
         units, burst, time_zone, anchor_ms, enforcement)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING ${limitColumns}`,
      [id, node.kind, node.id, ...identityOf(terms), ...changeableOf(terms)],
    );
    return limitOf(row);
  }

  planTerms(node: NodeRef): Promise<readonly LimitTerms[]> {
    return planTermsOf(this.#manager, node.id);
  }

  async update(id: string, source: Limit["source"], terms: LimitTerms): Promise<Limit | undefined> {
    const [rows] = await this.#manager.query<[LimitRow[], number]>(
      `UPDATE node_limit AS l SET units = $2, burst = $3, time_zone = $4, anchor_ms = $5, enforcement = $6,
         source = $7, updated_at = now()
       WHERE l.id = $1 RETURNING ${limitColumns}`,
      [id, ...changeableOf(terms), source],
    );
    return rows.map(limitOf)[0];
  }

  async sharesOf(limitId: string): Promise<ReservedShare[]> {
    const rows = await this.#manager.query<{ node_id: string; reserved_share: number }[]>(
      "SELECT node_id, reserved_share FROM node_limit WHERE reserved_of = $1",
      [limitId],
    );
    return rows.map((row) => ({ nodeId: row.node_id, share: row.reserved_share }));
  }

  async hasShareBelow(limitId: string, nodeId: string): Promise<boolean> {
    const rows = await this.#manager.query<unknown[]>(
      `SELECT FROM node_limit l LEFT JOIN key k ON k.id = l.node_id
         LEFT JOIN account a ON a.id = coalesce(k.account_id, l.node_id)
       WHERE l.reserved_of = $1 AND l.node_id <> $2 AND (a.path @> ARRAY[$2] OR k.parent_key_id = $2)`,
      [limitId, nodeId],
    );
    return rows.length > 0;
  }

  async reserve(limitId: string, share: Limit["reserved"]): Promise<void> {
    await this.#manager.query("UPDATE node_limit SET reserved_share = $2, reserved_of = $3 WHERE id = $1", [
      limitId,
      share?.share ?? null,
      share?.of ?? null,
    ]);
  }

  async remove(id: string): Promise<boolean> {
    await this.#lockQuota(id);
    await forgetShares(this.#manager, [id]);
    await this.#manager.query("DELETE FROM rate_bucket WHERE limit_id = $1", [id]);
    await this.dropRateLeases(id);
    const [, count] = await this.#manager.query<[unknown[], number]>("DELETE FROM node_limit WHERE id = $1", [
      id,
    ]);
    return count > 0;
  }

  async rateState(limitId: string): Promise<RateState | undefined> {
    const rows = await this.#manager.query<RateRow[]>(
      `SELECT ${rateColumns} FROM rate_bucket WHERE limit_id = $1 FOR UPDATE`,
      [limitId],
    );
    return rows.map(rateStateOf)[0];
  }

  writeRateState(limitId: string, state: RateState): Promise<void> {
    return putRateStates(this.#manager, [{ limitId, state }]);
  }

  async dropRateLeases(limitId: string): Promise<void> {
    await this.#manager.query("DELETE FROM rate_lease WHERE limit_id = $1", [limitId]);
  }

  renewQuota(limitId: string): Promise<QuotaReading | undefined> {
    return renewQuotaWindow(this.#manager, limitId, () => this.nowMs());
  }

  freed(limitId: string): Promise<void> {
    return notifyFreed(this.#manager, [limitId]);
  }

  recall(limitId: string): Promise<void> {
    return recallLeases(this.#manager, [limitId]);
  }

  audit({ action, limitId: targetId, before, after }: LimitAudit): Promise<void> {
    const concerns = (after ?? before)!.node.id;
    return writeAudit(this.#manager, [{ actor: this.#actor, action, targetId, concerns, before, after }]);
  }

  // Whoever lends from a bucket holds its row: after this, no lease goes out under the terms before.
  async #lockQuota(limitId: string): Promise<void> {
    await this.#manager.query("SELECT id FROM quota_bucket WHERE limit_id = $1 ORDER BY id FOR UPDATE", [
      limitId,
    ]);
  }
}

async function findSame(
  manager: EntityManager,
  nodeIds: readonly string[],
  terms: LimitTerms,
): Promise<Limit[]> {
  const rows = await manager.query<LimitRow[]>(
    `SELECT ${limitColumns} FROM node_limit l
     WHERE l.node_id = ANY($1) AND l.meter = $2 AND l.resource = $3 AND l.kind = $4
       AND l.interval_ms IS NOT DISTINCT FROM $5 AND l.window_kind IS NOT DISTINCT FROM $6`,
    [nodeIds, ...identityOf(terms)],
  );
  return rows.map(limitOf);
}

async function findLimit(manager: EntityManager, limitId: string): Promise<Limit | undefined> {
  const rows = await manager.query<LimitRow[]>(`SELECT ${limitColumns} FROM node_limit l WHERE l.id = $1`, [
    limitId,
  ]);
  return rows.map(limitOf)[0];
}
