import { type OutgoingEvent, outgoingOf } from "@gatehouse/events";
import { mintId } from "@gatehouse/keys";
import type { DataSource, EntityManager } from "typeorm";
import { alertData, alertEventType } from "../domain/alert-event.ts";
import {
  type Crossing,
  type Evaluated,
  evaluateAlerts,
  type MovedAlert,
  TOLD_AFTER_MS,
} from "../domain/evaluate-alerts.ts";
import { exactly, PostgresAlertReads } from "./alert-reads.ts";
import { type AlertRow, alertColumns, alertOf } from "./alert-row.ts";
import { type ClockOffset, instant, readNowMs } from "./clock.ts";

/** Alerts of one transaction: who deletes one of them waits for it. */
const MAX_ALERTS = 50;
/** What moved, of one transaction; the rest is of the next. */
const MAX_MOVED = 5000;
/** An alert is looked at for a twentieth of the time at most; most take no rest that is worth a write. */
const REST_FACTOR = 20;
const LEAST_REST_MS = 1000;
/** Of one that cannot be looked at: often enough that it goes on by itself soon after what is wrong is mended. */
const PUT_ASIDE_MS = 60_000;
/** Later than any batch that could still be told of. */
const WINDOWS_KEPT_MS = 2 * TOLD_AFTER_MS;
/** Rows of one statement of the sweep: some tens of milliseconds. */
const SWEEP_SLICE = 5000;

/** What some alerts of a pass came to. */
export interface Round {
  readonly evaluated: number;
  readonly told: readonly OutgoingEvent[];
}

/**
 * Looks at the alerts of which something moved, some at a time, and writes down what is to be told.
 *
 * A replica locks the alerts that it looks at and others pass them over, so an alert is looked at by one at a time. Then
 * it takes what moved off the queue, then it reads: so what it reads is no older than what it took, and what comes later
 * is in the queue again. What was told of a window is in `alert_window`, in the same transaction as the event and its
 * deliveries; who looks next, after a late batch or in another replica, finds it there.
 */
export class AlertRounds {
  readonly #dataSource: DataSource;
  readonly #offsetMs: ClockOffset;

  constructor(dataSource: DataSource, offsetMs: ClockOffset = () => 0) {
    this.#dataSource = dataSource;
    this.#offsetMs = offsetMs;
  }

  /**
   * Looks at every alert of which something has moved, each once; `tell` hears of each round's events after its commit.
   * An alert that cannot be looked at is put aside for a while and holds up no other; it rejects at the end then.
   */
  async pass(tell: (round: Round) => void, signal?: AbortSignal): Promise<void> {
    const failures: unknown[] = [];
    let most = MAX_ALERTS;
    for (let after = ""; !signal?.aborted; ) {
      const claimed: string[] = [];
      try {
        const round = await this.#round(after, most, claimed);
        if (claimed.length === 0) break;
        tell(round);
        after = claimed.at(-1)!;
      } catch (error) {
        if (claimed.length === 0) throw error;
        if (claimed.length === 1) {
          await this.#putAside(claimed[0]!);
          failures.push(error);
          after = claimed[0]!;
        }
        // Whichever it is: from here on each by itself.
        most = 1;
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  #round(after: string, most: number, claimed: string[]): Promise<Round> {
    return this.#dataSource.transaction(async (manager) => {
      const rows = await claim(manager, after, most);
      if (rows.length === 0) return { evaluated: 0, told: [] };
      claimed.push(...rows.map(({ id }) => id));
      const startedMs = performance.now();
      const moved = await take(manager, rows);
      const nowMs = await readNowMs(manager, this.#offsetMs);
      const evaluated = await evaluateAlerts(new PostgresAlertReads(manager), moved, nowMs);
      const told = await write(manager, evaluated, nowMs);
      await rest(manager, claimed, ((performance.now() - startedMs) / rows.length) * REST_FACTOR);
      return { evaluated: rows.length, told };
    });
  }

  async #putAside(alertId: string): Promise<void> {
    await rest(this.#dataSource.manager, [alertId], PUT_ASIDE_MS);
  }

  /** Forgets windows that are long over, and what moved of alerts that are gone. */
  async sweep(): Promise<void> {
    const before = instant(Date.now() + this.#offsetMs() - WINDOWS_KEPT_MS);
    for (let deleted = SWEEP_SLICE; deleted === SWEEP_SLICE; ) {
      [, deleted] = await this.#dataSource.query<[unknown, number]>(
        `DELETE FROM alert_window WHERE ctid = ANY (ARRAY(
           SELECT ctid FROM alert_window WHERE window_end < $1 ORDER BY window_end LIMIT $2))`,
        [before, SWEEP_SLICE],
      );
    }
    for (let deleted = SWEEP_SLICE; deleted === SWEEP_SLICE; ) {
      [, deleted] = await this.#dataSource.query<[unknown, number]>(
        `WITH ${moving}
         DELETE FROM alert_due WHERE (alert_id, seq) IN (
           SELECT d.alert_id, d.seq FROM moving JOIN alert_due d USING (alert_id)
           WHERE NOT EXISTS (SELECT FROM alert a WHERE a.id = moving.alert_id) LIMIT $2)`,
        ["", SWEEP_SLICE],
      );
    }
  }
}

/** SQL: the alerts of which something moved, after `$1`, found by skipping along the index. */
const moving = `RECURSIVE moving (alert_id) AS (
  SELECT min(alert_id) FROM alert_due WHERE alert_id > $1
  UNION ALL
  SELECT (SELECT min(d.alert_id) FROM alert_due d WHERE d.alert_id > moving.alert_id)
  FROM moving WHERE moving.alert_id IS NOT NULL)`;

function claim(manager: EntityManager, after: string, most: number): Promise<AlertRow[]> {
  return manager.query<AlertRow[]>(
    `WITH ${moving}
     SELECT ${alertColumns} FROM moving JOIN alert a ON a.id = moving.alert_id
     WHERE a.not_before <= clock_timestamp() AND EXISTS (
       SELECT FROM alert_due d WHERE d.alert_id = a.id AND d.not_before <= clock_timestamp())
     LIMIT $2 FOR UPDATE OF a SKIP LOCKED`,
    [after, most],
  );
}

/**
 * Balances that are asked for, not told, are read in the statement that takes what was told, and come after it: so they
 * are as new as the last, and older than what is told next.
 */
async function take(manager: EntityManager, alerts: readonly AlertRow[]): Promise<MovedAlert[]> {
  const rows = await manager.query<{ alert_id: string; at: string | null; balance: string | null }[]>(
    `WITH taken AS (
       DELETE FROM alert_due WHERE (alert_id, seq) IN (
         SELECT alert_id, seq FROM alert_due WHERE alert_id = ANY($1) AND not_before <= clock_timestamp()
         ORDER BY balance IS NULL, seq LIMIT $2)
       RETURNING alert_id, seq, at, balance)
     SELECT t.alert_id, ${exactly("t.at")} AS at, coalesce(t.balance, w.balance) AS balance
     FROM taken t JOIN alert a ON a.id = t.alert_id
     LEFT JOIN wallet w ON a.subject = 'BALANCE' AND w.account_id = a.account_id AND w.currency = a.currency
     ORDER BY t.balance IS NULL, t.seq`,
    [alerts.map(({ id }) => id), MAX_MOVED],
  );
  const moved = Map.groupBy(rows, (row) => row.alert_id);
  return alerts.flatMap((row) => {
    const ofAlert = moved.get(row.id) ?? [];
    if (ofAlert.length === 0) return [];
    const told = ofAlert.map(({ at, balance }) => ({
      at: at ?? undefined,
      balance: balance === null ? undefined : BigInt(balance),
    }));
    return [{ alert: alertOf(row), moved: told }];
  });
}

async function write(
  manager: EntityManager,
  { crossings, states }: Evaluated,
  nowMs: number,
): Promise<OutgoingEvent[]> {
  await manager.query(
    `INSERT INTO alert_window AS w (alert_id, window_start, window_end, is_reached, crossings)
     SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::boolean[], $5::bigint[])
     ON CONFLICT (alert_id, window_start) DO UPDATE SET
       window_end = excluded.window_end, is_reached = excluded.is_reached, crossings = excluded.crossings`,
    [
      states.map(({ window }) => window.alert.id),
      states.map(({ window }) => window.start),
      states.map(({ window }) => (Number.isFinite(window.endMs) ? instant(window.endMs) : "infinity")),
      states.map(({ state }) => state.isReached),
      states.map(({ state }) => state.crossings),
    ],
  );
  return crossings.length === 0 ? [] : putOut(manager, crossings, new Date(nowMs));
}

/** Writes events down for the webhooks of their alerts. */
async function putOut(
  manager: EntityManager,
  crossings: readonly Crossing[],
  at: Date,
): Promise<OutgoingEvent[]> {
  const alertIds = crossings.map(({ window }) => window.alert.id);
  const accountIds = crossings.map(({ window }) => window.alert.accountId);
  const accounts = await manager.query<{ id: string; path: string[] }[]>(
    "SELECT id, path FROM account WHERE id = ANY($1)",
    [accountIds],
  );
  const paths = new Map(accounts.map(({ id, path }) => [id, path.toReversed()]));
  const events = crossings.map((crossing) => {
    const { id: subject, accountId } = crossing.window.alert;
    const accountPath = paths.get(accountId) ?? [accountId];
    const type = alertEventType(crossing);
    return outgoingOf({ id: mintId("evt"), type, at, accountPath, subject, data: alertData(crossing) });
  });
  await manager.query(
    `INSERT INTO delivery (webhook_id, event_id, type, at, body, status, attempts, last_error, next_attempt_at)
     SELECT w.id, e.id, e.type, $6, e.body, 'PENDING', 0, '', $6
     FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) AS e(account_id, alert_id, id, type, body)
     JOIN webhook w ON w.account_id = e.account_id AND w.name = e.alert_id`,
    [
      accountIds,
      alertIds,
      events.map(({ id }) => id),
      events.map(({ type }) => type),
      events.map(({ body }) => body),
      at,
    ],
  );
  await manager.query("UPDATE alert SET told_at = $2 WHERE id = ANY($1)", [alertIds, at]);
  return events;
}

/** Reading what an alert watches may take long: then it is looked at less often. */
async function rest(manager: EntityManager, alertIds: readonly string[], restMs: number): Promise<void> {
  if (restMs < LEAST_REST_MS) return;
  await manager.query(
    "UPDATE alert SET not_before = clock_timestamp() + $2 * interval '1 millisecond' WHERE id = ANY($1)",
    [alertIds, Math.round(restMs)],
  );
}
