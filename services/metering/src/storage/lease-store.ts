import type { RateState, Window } from "@gatehouse/buckets";
import { type ChangeLog, encodeFreshness, type Tx } from "@gatehouse/changefeed";
import type { EntityManager } from "typeorm";
import type {
  HeldOfQuota,
  LeaseStore,
  LeaseTx,
  QuotaBucketRow,
  RateBucketRow,
  RateLeaseRow,
  RoundChanges,
} from "../domain/lease.ts";
import { REQUESTS } from "../domain/limit.ts";
import { type ClockOffset, instant, nowMsExpression } from "./clock.ts";
import { holderGate } from "./holder-gate.ts";
import { type LimitRow, limitColumns, limitOf } from "./limit-row.ts";
import { counted } from "./most-counted.ts";
import { notifyFreed, notifyRecalls } from "./notice.ts";
import { outdatedAmong, PlanLimits, PlansOutdated } from "./plan-limits.ts";
import { isOfWindow, openQuotaWindows, openShares } from "./quota-windows.ts";
import { putRateStates, type RateRow, rateColumns, rateStateOf } from "./rate-row.ts";
import {
  heldOfWallets,
  lockWallets,
  type MoneyRow,
  moneyByNode,
  moneyOf,
  writeLent,
} from "./wallet-leases.ts";

export class PostgresLeaseStore implements LeaseStore {
  readonly #log: ChangeLog;
  readonly #offsetMs: ClockOffset;
  readonly #plans: PlanLimits;

  constructor(log: ChangeLog, offsetMs: ClockOffset = () => 0) {
    this.#log = log;
    this.#offsetMs = offsetMs;
    this.#plans = new PlanLimits(log, offsetMs);
  }

  async transact<T>(work: (tx: LeaseTx) => Promise<T>): Promise<T> {
    const { value } = await this.#plans.withPlans(() =>
      this.#log.commit((tx) => work(new PostgresLeaseTx(tx, this.#offsetMs))),
    );
    return value;
  }
}

class PostgresLeaseTx implements LeaseTx {
  readonly #tx: Tx;
  readonly #manager: EntityManager;
  readonly #offsetMs: ClockOffset;

  constructor(tx: Tx, offsetMs: ClockOffset) {
    this.#tx = tx;
    this.#manager = tx.manager;
    this.#offsetMs = offsetMs;
  }

  async survey(holders: readonly string[], nodeIds: readonly string[], meters: readonly string[]) {
    await this.#tx.gate({ reliedOn: holders.map(holderGate) });
    const [row] = await this.#manager.query<
      [
        {
          now_ms: string;
          ended_holders: string[];
          unknown_nodes: string[];
          unknown_meters: string[];
          outdated: string[];
        },
      ]
    >(
      `SELECT ${nowMsExpression} AS now_ms,
         ARRAY(SELECT id FROM unnest($1::text[]) AS n(id)
               WHERE NOT EXISTS (SELECT FROM account a WHERE a.id = n.id)
                 AND NOT EXISTS (SELECT FROM key k WHERE k.id = n.id)) AS unknown_nodes,
         ARRAY(SELECT name FROM unnest($2::text[]) AS n(name)
               WHERE name <> '${REQUESTS}' AND NOT EXISTS (SELECT FROM meter m WHERE m.name = n.name)) AS unknown_meters,
         ${outdatedAmong("$1")} AS outdated,
         ARRAY(SELECT holder FROM ended_holder WHERE holder = ANY($3)) AS ended_holders`,
      [nodeIds, meters, holders],
    );
    if (row.outdated.length > 0) throw new PlansOutdated(row.outdated);
    return {
      nowMs: Number(row.now_ms) + this.#offsetMs(),
      endedHolders: new Set(row.ended_holders),
      unknownNodes: new Set(row.unknown_nodes),
      unknownMeters: new Set(row.unknown_meters),
    };
  }

  async limitsOn(nodeIds: readonly string[]) {
    const rows = await this.#manager.query<LimitRow[]>(
      `SELECT ${limitColumns} FROM node_limit l WHERE l.node_id = ANY($1) ORDER BY l.id`,
      [nodeIds],
    );
    return rows.map(limitOf);
  }

  async limitsAtHead(nodeIds: readonly string[], limitIds: readonly string[]) {
    // One statement, one snapshot: the limits are those of the head's revision.
    const rows = await this.#manager.query<
      (Partial<LimitRow> & {
        incarnation: string;
        revision: string;
        now_ms: string;
        money: MoneyRow | null;
      })[]
    >(
      `SELECT h.incarnation, h.revision, ${nowMsExpression} AS now_ms, ${limitColumns},
         CASE WHEN row_number() OVER (ORDER BY l.id) = 1 THEN ${moneyOf("$1")} END AS money
       FROM feed_head h LEFT JOIN node_limit l ON l.node_id = ANY($1) OR l.id = ANY($2) ORDER BY l.id`,
      [nodeIds, limitIds],
    );
    const { incarnation, revision, now_ms, money } = rows[0]!;
    return {
      nowMs: Number(now_ms) + this.#offsetMs(),
      freshness: encodeFreshness("metering", { incarnation, revision: Number(revision) }),
      limits: rows.filter((row) => row.id !== null).map((row) => limitOf(row as LimitRow)),
      money: moneyByNode(money),
    };
  }

  lockWallets(walletIds: readonly string[]) {
    return lockWallets(this.#manager, walletIds);
  }

  heldOfWallets(walletIds: readonly string[], afterMs: number) {
    return heldOfWallets(this.#manager, walletIds, afterMs);
  }

  async lockQuotas(
    limitIds: readonly string[],
    nowMs: number,
    windowOf: (limitId: string) => Window,
    shares: readonly { readonly limitId: string; readonly nodeId: string }[] = [],
  ): Promise<QuotaBucketRow[]> {
    await openQuotaWindows(this.#manager, limitIds, nowMs, windowOf);
    await openShares(this.#manager, shares, nowMs);
    const rows = await this.#manager.query<
      {
        id: string;
        limit_id: string;
        share_node: string;
        window_end: Date | null;
        spent: string;
        leased: string;
      }[]
    >(
      `SELECT id, limit_id, share_node, window_end, spent, leased FROM quota_bucket b
       WHERE limit_id = ANY($1) AND ${isOfWindow} ORDER BY id FOR UPDATE`,
      [limitIds, instant(nowMs)],
    );
    return rows.map((row) => ({
      id: row.id,
      limitId: row.limit_id,
      shareNode: row.share_node,
      endMs: row.window_end?.getTime(),
      spent: Number(row.spent),
      leased: Number(row.leased),
    }));
  }

  async lockRates(
    limitIds: readonly string[],
    leaseIds: readonly string[],
    lost: RateState,
  ): Promise<RateBucketRow[]> {
    const there = await this.#manager.query<{ limit_id: string }[]>(
      "SELECT limit_id FROM rate_bucket WHERE limit_id = ANY($1)",
      [limitIds],
    );
    const known = new Set(there.map((row) => row.limit_id));
    const missing = limitIds.filter((id) => !known.has(id)).sort();
    await putRateStates(
      this.#manager,
      missing.map((limitId) => ({ limitId, state: lost })),
      { keep: true },
    );
    const rows = await this.#manager.query<RateRow[]>(
      `SELECT ${rateColumns} FROM rate_bucket
       WHERE limit_id = ANY($1) OR limit_id IN (SELECT limit_id FROM rate_lease WHERE id = ANY($2))
       ORDER BY limit_id FOR UPDATE`,
      [limitIds, leaseIds],
    );
    return rows.map((row) => ({ limitId: row.limit_id, state: rateStateOf(row) }));
  }

  async forfeitQuotaLeases(
    bucketIds: readonly string[],
    beforeMs: number,
  ): Promise<ReadonlyMap<string, number>> {
    return forfeitQuotaLeases(this.#manager, bucketIds, beforeMs);
  }

  async heldOfQuotas(bucketIds: readonly string[]): Promise<HeldOfQuota[]> {
    const rows = await this.#manager.query<
      { bucket_id: string; limit_id: string; holder: string; units: string }[]
    >(
      `SELECT bucket_id, limit_id, holder, sum(greatest(units - spent, 0)) AS units FROM quota_lease
       WHERE bucket_id = ANY($1) AND NOT closed AND NOT forfeited GROUP BY bucket_id, limit_id, holder`,
      [bucketIds],
    );
    return rows.map((row) => ({
      bucketId: row.bucket_id,
      limitId: row.limit_id,
      holder: row.holder,
      units: Number(row.units),
    }));
  }

  async rateLeases(limitIds: readonly string[]): Promise<RateLeaseRow[]> {
    const rows = await this.#manager.query<
      { id: string; limit_id: string; holder: string; units: string; spent: string; deadline: Date }[]
    >(
      "SELECT id, limit_id, holder, units, spent, deadline FROM rate_lease WHERE limit_id = ANY($1) ORDER BY id",
      [limitIds],
    );
    return rows.map((row) => ({
      id: row.id,
      limitId: row.limit_id,
      holder: row.holder,
      units: Number(row.units),
      spent: Number(row.spent),
      deadlineMs: row.deadline.getTime(),
    }));
  }

  async write(changes: RoundChanges): Promise<void> {
    await writeQuotaBuckets(this.#manager, changes.quotaBuckets);
    await putRateStates(this.#manager, changes.rateBuckets);
    await this.#insertLeases(changes.newLeases);
    await writeLent(this.#manager, changes.wallets, changes.newWalletLeases);
    await this.#writeRateLeases(changes);
    await notifyRecalls(this.#manager, changes.recalls);
    await notifyFreed(this.#manager, changes.freedLimitIds);
  }

  async #insertLeases(leases: RoundChanges["newLeases"]): Promise<void> {
    const quotas = leases.filter(({ bucketId }) => bucketId !== undefined);
    const rates = leases.filter(({ bucketId }) => bucketId === undefined);
    const columns = (of: typeof leases) => [
      of.map(({ id }) => id),
      of.map(({ limitId }) => limitId),
      of.map(({ holder }) => holder),
      of.map(({ units }) => units),
      of.map(({ deadlineMs }) => instant(deadlineMs)),
    ];
    if (quotas.length > 0) {
      await this.#manager.query(
        `INSERT INTO quota_lease (id, limit_id, holder, units, deadline, bucket_id)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[], $6::bigint[])`,
        [...columns(quotas), quotas.map(({ bucketId }) => bucketId)],
      );
    }
    if (rates.length > 0) {
      await this.#manager.query(
        `INSERT INTO rate_lease (id, limit_id, holder, units, deadline)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[])`,
        columns(rates),
      );
    }
  }

  async #writeRateLeases({ rateLeaseSpends, endedRateLeaseIds }: RoundChanges): Promise<void> {
    if (rateLeaseSpends.length > 0) {
      await this.#manager.query(
        `UPDATE rate_lease SET spent = s.spent FROM unnest($1::text[], $2::bigint[]) AS s(id, spent)
         WHERE rate_lease.id = s.id`,
        [rateLeaseSpends.map(({ id }) => id), rateLeaseSpends.map(({ spent }) => spent)],
      );
    }
    if (endedRateLeaseIds.length > 0) {
      await this.#manager.query("DELETE FROM rate_lease WHERE id = ANY($1)", [endedRateLeaseIds]);
    }
  }
}

/** Sets what is spent and leased of buckets that the transaction has locked. */
export async function writeQuotaBuckets(
  manager: EntityManager,
  buckets: readonly { readonly id: string; readonly spent: number; readonly leased: number }[],
): Promise<void> {
  if (buckets.length === 0) return;
  await manager.query(
    `UPDATE quota_bucket SET spent = ${counted("b.spent")}, leased = b.leased
     FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS b(id, spent, leased) WHERE quota_bucket.id = b.id`,
    [buckets.map(({ id }) => id), buckets.map(({ spent }) => spent), buckets.map(({ leased }) => leased)],
  );
}

/** Marks leases as forfeited whose buckets the transaction has locked; answers their unspent units by bucket. */
export async function forfeitQuotaLeases(
  manager: EntityManager,
  bucketIds: readonly string[],
  beforeMs: number,
): Promise<ReadonlyMap<string, number>> {
  const rows = await manager.query<{ bucket_id: string; units: string }[]>(
    `WITH forfeited AS (
       UPDATE quota_lease SET forfeited = true
       WHERE bucket_id = ANY($1) AND NOT closed AND NOT forfeited AND deadline <= $2::timestamptz
       RETURNING bucket_id, greatest(units - spent, 0) AS units)
     SELECT bucket_id, sum(units) AS units FROM forfeited GROUP BY bucket_id`,
    [bucketIds, instant(beforeMs)],
  );
  return new Map(rows.map((row) => [row.bucket_id, Number(row.units)]));
}
