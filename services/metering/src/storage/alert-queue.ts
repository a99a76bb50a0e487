import type { EntityManager } from "typeorm";
import type { AlertReach, MovedAlert } from "../domain/evaluate-alerts.ts";
import { exactly } from "./alert-reads.ts";
import { type AlertRow, alertColumns, alertOf } from "./alert-row.ts";

/** What moved, of one transaction; the rest is of the next. */
const MAX_MOVED = 5000;

/** SQL: the alerts of which something moved, after `$1`, found by skipping along the index. */
export const movingAlerts = `RECURSIVE moving (alert_id) AS (
  SELECT min(alert_id) FROM alert_due WHERE alert_id > $1
  UNION ALL
  SELECT (SELECT min(d.alert_id) FROM alert_due d WHERE d.alert_id > moving.alert_id)
  FROM moving WHERE moving.alert_id IS NOT NULL)`;

/** The next alerts of which something moved, by their ids: a step along the index for each. */
export async function nextAlerts(manager: EntityManager, after: string, most: number): Promise<string[]> {
  const rows = await manager.query<{ alert_id: string }[]>(
    `WITH ${movingAlerts} SELECT alert_id FROM moving WHERE alert_id IS NOT NULL LIMIT $2`,
    [after, most],
  );
  return rows.map((row) => row.alert_id).sort();
}

/** An alert that is to be looked at, with how far its maker reaches. */
export interface ClaimedAlert extends AlertRow {
  readonly reach: AlertReach;
}

/** Locks those of the alerts that are to be looked at now and that no other replica has. */
export function claimAlerts(manager: EntityManager, alertIds: readonly string[]): Promise<ClaimedAlert[]> {
  return manager.query<ClaimedAlert[]>(
    `SELECT ${alertColumns},
       CASE WHEN m.node -> 'isolated' IS DISTINCT FROM 'true' THEN 'BELOW'
         WHEN m.id = a.account_id THEN 'OWN' ELSE 'NONE' END AS reach
     FROM alert a LEFT JOIN account m ON m.id = coalesce(nullif(a.made_by, ''), a.account_id)
     WHERE a.id = ANY($1) AND a.not_before <= clock_timestamp() AND EXISTS (
       SELECT FROM alert_due d WHERE d.alert_id = a.id AND d.not_before <= clock_timestamp())
     ORDER BY a.id FOR UPDATE OF a SKIP LOCKED`,
    [alertIds],
  );
}

/**
 * Takes what moved of claimed alerts off the queue.
 *
 * Balances that are asked for, not told, are read in the statement that takes what was told, and come after it: so they
 * are as new as the last, and older than what is told next.
 */
export async function takeMoved(
  manager: EntityManager,
  alerts: readonly ClaimedAlert[],
): Promise<MovedAlert[]> {
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
    return [{ alert: alertOf(row), reach: row.reach, moved: told }];
  });
}
