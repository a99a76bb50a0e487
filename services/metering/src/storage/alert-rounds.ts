import type { OutgoingEvent } from "@gatehouse/events";
import type { DataSource, EntityManager } from "typeorm";
import { evaluateAlerts, TOLD_AFTER_MS } from "../domain/evaluate-alerts.ts";
import { writeEvaluated } from "./alert-outbox.ts";
import { claimAlerts, movingAlerts, nextAlerts, takeMoved } from "./alert-queue.ts";
import { PostgresAlertReads } from "./alert-reads.ts";
import { type ClockOffset, instant, readNowMs } from "./clock.ts";

/** Alerts of one transaction: who deletes one of them waits for it. */
const MAX_ALERTS = 50;
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
      const alertIds = await nextAlerts(this.#dataSource.manager, after, most);
      const lastId = alertIds.at(-1);
      if (lastId === undefined) break;
      try {
        tell(await this.#round(alertIds));
      } catch (error) {
        if (alertIds.length > 1) {
          // Whichever it is: from here on each by itself.
          most = 1;
          continue;
        }
        failures.push(error);
        await rest(this.#dataSource.manager, alertIds, PUT_ASIDE_MS);
      }
      after = lastId;
    }
    if (failures.length > 0) throw failures[0];
  }

  #round(alertIds: readonly string[]): Promise<Round> {
    return this.#dataSource.transaction(async (manager) => {
      const rows = await claimAlerts(manager, alertIds);
      if (rows.length === 0) return { evaluated: 0, told: [] };
      const startedMs = performance.now();
      const moved = await takeMoved(manager, rows);
      const nowMs = await readNowMs(manager, this.#offsetMs);
      const evaluated = await evaluateAlerts(new PostgresAlertReads(manager), moved, nowMs);
      const told = await writeEvaluated(manager, evaluated, nowMs);
      const eachMs = (performance.now() - startedMs) / rows.length;
      await rest(
        manager,
        rows.map(({ id }) => id),
        eachMs * REST_FACTOR,
      );
      return { evaluated: rows.length, told };
    });
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
        `WITH ${movingAlerts}
         DELETE FROM alert_due WHERE (alert_id, seq) IN (
           SELECT d.alert_id, d.seq FROM moving JOIN alert_due d USING (alert_id)
           WHERE NOT EXISTS (SELECT FROM alert a WHERE a.id = moving.alert_id) LIMIT $2)`,
        ["", SWEEP_SLICE],
      );
    }
  }
}

/** Reading what an alert watches may take long: then it is looked at less often. */
async function rest(manager: EntityManager, alertIds: readonly string[], restMs: number): Promise<void> {
  if (restMs < LEAST_REST_MS) return;
  await manager.query(
    "UPDATE alert SET not_before = clock_timestamp() + $2 * interval '1 millisecond' WHERE id = ANY($1)",
    [alertIds, Math.round(restMs)],
  );
}
