import { type OutgoingEvent, outgoingOf } from "@gatehouse/events";
import { mintId } from "@gatehouse/keys";
import type { EntityManager } from "typeorm";
import { alertData, alertEventType } from "../domain/alert-event.ts";
import type { Crossing, Evaluated } from "../domain/evaluate-alerts.ts";
import { instant } from "./clock.ts";

/** Writes down what a look at alerts came to: the states of windows, and the events with their deliveries. */
export async function writeEvaluated(
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
