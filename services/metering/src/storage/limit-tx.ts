import type { RateState } from "@gatehouse/buckets";
import type { Tx } from "@gatehouse/changefeed";
import type { EntityManager } from "typeorm";
import type { Actor } from "../domain/actor.ts";
import type { Limit, LimitTerms, NodeRef, ReservedShare } from "../domain/limit.ts";
import type { LimitAudit, LimitTx, QuotaReading } from "../domain/limit-store.ts";
import { writeAudit } from "./audit.ts";
import { type ClockOffset, readNowMs } from "./clock.ts";
import { findLimit, sameLimits } from "./find-limits.ts";
import { changeableOf, identityOf, type LimitRow, limitColumns, limitOf } from "./limit-row.ts";
import { lockQuotas } from "./lock-quotas.ts";
import { notifyFreed } from "./notice.ts";
import { forgetShares, planTermsOf } from "./plan-limits.ts";
import { renewQuotaWindow } from "./quota-windows.ts";
import { putRateStates } from "./rate-row.ts";
import { lockRates } from "./rate-states.ts";
import { recallLeases } from "./recall.ts";

/** Changes limits, behind the gates of their nodes. */
export class PostgresLimitTx implements LimitTx {
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
    return (await sameLimits(this.#manager, [node.id], terms))[0];
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
    await forgetShares(this.#manager, [id]);
    await this.#manager.query("DELETE FROM rate_bucket WHERE limit_id = $1", [id]);
    await this.dropRateLeases(id);
    const [, count] = await this.#manager.query<[unknown[], number]>("DELETE FROM node_limit WHERE id = $1", [
      id,
    ]);
    return count > 0;
  }

  async rateState(limitId: string): Promise<RateState | undefined> {
    return (await lockRates(this.#manager, [limitId])).get(limitId);
  }

  writeRateState(limitId: string, state: RateState): Promise<void> {
    return putRateStates(this.#manager, [{ limitId, state }]);
  }

  async dropRateLeases(limitId: string): Promise<void> {
    await this.#manager.query("DELETE FROM rate_lease WHERE limit_id = $1", [limitId]);
  }

  renewQuota(limitId: string): Promise<QuotaReading | undefined> {
    return renewQuotaWindow(this.#manager, limitId, this.#offsetMs);
  }

  freed(limitId: string): Promise<void> {
    return notifyFreed(this.#manager, [limitId]);
  }

  async lock(limitIds: readonly string[]): Promise<void> {
    await lockQuotas(this.#manager, limitIds, this.#offsetMs);
    await lockRates(this.#manager, limitIds);
  }

  async recall(limitId: string): Promise<void> {
    await this.lock([limitId]);
    await recallLeases(this.#manager, [limitId]);
  }

  audit({ action, limitId: targetId, before, after }: LimitAudit): Promise<void> {
    const concerns = (after ?? before)!.node.id;
    const event = { actor: this.#actor, action, targetId, concerns };
    return writeAudit(this.#manager, [{ ...event, before: audited(before), after: audited(after) }]);
  }
}

/** What may be known of a limit where it is: neither whose bucket it has a share of, nor who has shares of its own. */
function audited(limit: Limit | undefined) {
  if (limit === undefined) return undefined;
  const { shares: _, reserved, ...rest } = limit;
  return { ...rest, reservedShare: reserved?.share };
}
