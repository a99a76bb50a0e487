import type { RateState, Window } from "@gatehouse/buckets";
import type { ChangeLog, Tx } from "@gatehouse/changefeed";
import type { EntityManager } from "typeorm";
import type { SettledReservation } from "../domain/book-settlements.ts";
import type { DrawnBucket } from "../domain/drawn-bucket.ts";
import { isRate, type Limit } from "../domain/limit.ts";
import type { Pricing } from "../domain/pricing.ts";
import type { Charged, Settlement } from "../domain/reservation.ts";
import type { LockedRate, ReservationStore, ReservationTx } from "../domain/reservation-store.ts";
import type { MinuteUsage } from "../domain/usage.ts";
import { type ClockOffset, instant, nowMsExpression } from "./clock.ts";
import { drawQuotas } from "./draw-quotas.ts";
import { type LimitRow, limitColumns, limitOf } from "./limit-row.ts";
import { notifyFreed } from "./notice.ts";
import { PostgresPricing } from "./pricing.ts";
import { isOfWindow, openQuotaWindows } from "./quota-windows.ts";
import { lockRates, writeRates } from "./rate-states.ts";
import { recallLeases } from "./recall.ts";
import {
  chargedRow,
  type ReservationRow,
  reservationColumns,
  reservationOf,
  unitsRow,
} from "./reservation-row.ts";
import { bookRows } from "./usage-rows.ts";

export class PostgresReservationStore implements ReservationStore {
  readonly #log: ChangeLog;
  readonly #offsetMs: ClockOffset;

  constructor(log: ChangeLog, offsetMs: ClockOffset = () => 0) {
    this.#log = log;
    this.#offsetMs = offsetMs;
  }

  async transact<T>(work: (tx: ReservationTx) => Promise<T>): Promise<T> {
    const { value } = await this.#log.commit((tx) => work(new PostgresReservationTx(tx, this.#offsetMs)));
    return value;
  }
}

class PostgresReservationTx implements ReservationTx {
  readonly pricing: Pricing;
  readonly #manager: EntityManager;
  readonly #offsetMs: ClockOffset;

  constructor(tx: Tx, offsetMs: ClockOffset) {
    this.pricing = new PostgresPricing(tx, offsetMs);
    this.#manager = tx.manager;
    this.#offsetMs = offsetMs;
  }

  async lock(decisionId: string, expiresAtMs: number) {
    // The update changes nothing: it locks what is there already, and what is deleted meanwhile is made anew.
    const [row] = await this.#manager.query<[ReservationRow & { now_ms: string }]>(
      `INSERT INTO reservation AS r (decision_id, expires_at) VALUES ($1, $2)
       ON CONFLICT (decision_id) DO UPDATE SET decision_id = excluded.decision_id
       RETURNING ${reservationColumns}, ${nowMsExpression} AS now_ms`,
      [decisionId, instant(expiresAtMs)],
    );
    return { reservation: reservationOf(row), nowMs: Number(row.now_ms) + this.#offsetMs() };
  }

  async putSettlement(decisionId: string, settlement: Settlement): Promise<void> {
    const [cost, mayExceed] =
      settlement.kind === "COMMITTED" ? [unitsRow(settlement.cost), settlement.mayExceed] : [null, null];
    await this.#manager.query(
      "UPDATE reservation SET state = $2, cost = $3, may_exceed = $4 WHERE decision_id = $1",
      [decisionId, settlement.kind, cost, mayExceed],
    );
  }

  async lockDue(most: number) {
    const rows = await this.#manager.query<(ReservationRow & { now_ms: string })[]>(
      `SELECT ${reservationColumns}, ${nowMsExpression} AS now_ms FROM reservation r
       WHERE r.state <> 'OPEN' AND NOT r.booked AND r.account_id IS NOT NULL
         AND EXISTS (SELECT FROM account a WHERE a.id = r.account_id)
       ORDER BY r.decision_id LIMIT $1 FOR UPDATE SKIP LOCKED`,
      [most],
    );
    const due = rows.map((row) => reservationOf(row) as SettledReservation);
    return { due, nowMs: Number(rows[0]?.now_ms ?? 0) + this.#offsetMs() };
  }

  async paths(accountIds: readonly string[]): Promise<Map<string, string[]>> {
    const rows = await this.#manager.query<{ id: string; path: string[] }[]>(
      "SELECT id, path FROM account WHERE id = ANY($1)",
      [accountIds],
    );
    return new Map(rows.map(({ id, path }) => [id, path]));
  }

  async limits(nodeIds: readonly string[], limitIds: readonly string[]): Promise<Limit[]> {
    if (nodeIds.length + limitIds.length === 0) return [];
    const rows = await this.#manager.query<LimitRow[]>(
      `SELECT ${limitColumns} FROM node_limit l WHERE l.node_id = ANY($1) OR l.id = ANY($2)`,
      [nodeIds, limitIds],
    );
    return rows.map(limitOf);
  }

  async quotasAt(limitIds: readonly string[], atMs: number, windowOf: (limitId: string) => Window) {
    await openQuotaWindows(this.#manager, limitIds, atMs, windowOf);
    const rows = await this.#manager.query<{ id: string; limit_id: string }[]>(
      `SELECT id, limit_id FROM quota_bucket b
       WHERE limit_id = ANY($1) AND share_node = '' AND ${isOfWindow}`,
      [limitIds, instant(atMs)],
    );
    return new Map(rows.map((row) => [row.limit_id, row.id]));
  }

  draw(units: ReadonlyMap<string, number>): Promise<DrawnBucket[]> {
    return drawQuotas(this.#manager, units);
  }

  async lockRates(limitIds: readonly string[]): Promise<LockedRate[]> {
    const states = await lockRates(this.#manager, limitIds);
    const limits = await this.limits([], [...states.keys()]);
    return limits.filter(isRate).map((limit) => ({ limit, state: states.get(limit.id)! }));
  }

  writeRates(states: ReadonlyMap<string, RateState>): Promise<void> {
    return writeRates(this.#manager, states);
  }

  async bookUsage(usage: readonly MinuteUsage[]): Promise<void> {
    await bookRows(this.#manager, usage);
  }

  async markBooked(charged: ReadonlyMap<string, Charged>): Promise<void> {
    await this.#manager.query(
      `UPDATE reservation r SET booked = true, charged = b.charged
       FROM unnest($1::text[], $2::jsonb[]) AS b(decision_id, charged) WHERE r.decision_id = b.decision_id`,
      [[...charged.keys()], [...charged.values()].map((each) => JSON.stringify(chargedRow(each)))],
    );
  }

  async notify(recalled: readonly string[], freed: readonly string[]): Promise<void> {
    await recallLeases(this.#manager, recalled);
    await notifyFreed(this.#manager, freed);
  }
}
