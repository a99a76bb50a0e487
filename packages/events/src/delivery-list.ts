import type { EntityManager } from "typeorm";
import type { Delivery, DeliveryStatus, WebhookName } from "./webhook.ts";

/** Where to read on, and how much. */
export interface DeliveryPage {
  /** The id of the last event that was read; empty at first. */
  readonly after: string;
  readonly limit: number;
}

/** What was sent to a webhook, or is to be, oldest first: a walk along the primary key, or along the index by status. */
export async function readDeliveries(
  manager: EntityManager,
  { accountId, name }: WebhookName,
  status: DeliveryStatus | undefined,
  { after, limit }: DeliveryPage,
): Promise<Delivery[]> {
  const rows = await manager.query<DeliveryRow[]>(
    `SELECT event_id, type, at, status, attempts, last_error, next_attempt_at FROM delivery
     WHERE webhook_id = (SELECT id FROM webhook WHERE account_id = $1 AND name = $2) AND event_id > $3
       ${status === undefined ? "" : "AND status = $5"}
     ORDER BY event_id LIMIT $4`,
    [accountId, name, after, limit, ...(status === undefined ? [] : [status])],
  );
  return rows.map(deliveryOf);
}

/** Lets dead deliveries go again: those of the events named, or all, but at most `limit`. Answers how many. */
export async function redeliver(
  manager: EntityManager,
  { accountId, name }: WebhookName,
  eventIds: readonly string[],
  at: Date,
  limit: number,
): Promise<number> {
  const [, redelivered] = await manager.query<[unknown, number]>(
    `UPDATE delivery SET status = 'PENDING', attempts = 0, next_attempt_at = $3
     WHERE (webhook_id, event_id) IN (
       SELECT webhook_id, event_id FROM delivery
       WHERE webhook_id = (SELECT id FROM webhook WHERE account_id = $1 AND name = $2) AND status = 'DEAD'
         AND ($4::text[] = '{}' OR event_id = ANY ($4))
       ORDER BY event_id LIMIT $5 FOR UPDATE)`,
    [accountId, name, at, eventIds, limit],
  );
  return redelivered;
}

/** A row of `delivery`, as far as it is shown. */
interface DeliveryRow {
  readonly event_id: string;
  readonly type: string;
  readonly at: Date;
  readonly status: DeliveryStatus;
  readonly attempts: number;
  readonly last_error: string;
  readonly next_attempt_at: Date;
}

function deliveryOf(row: DeliveryRow): Delivery {
  return {
    eventId: row.event_id,
    type: row.type,
    status: row.status,
    attempts: row.attempts,
    lastError: row.last_error,
    nextAttemptAt: row.next_attempt_at,
    at: row.at,
  };
}
