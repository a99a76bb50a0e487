import { type OutgoingEvent, outgoingOf } from "@gatehouse/events";
import { mintId } from "@gatehouse/keys";
import type { EntityManager } from "typeorm";
import type { DomainEvent } from "../domain/events/event.ts";

/**
 * Writes events of one account and time down for every webhook that is to get them, in the transaction of what they
 * tell of: for the webhooks of the accounts on the path that want their type, and where it is an account below, want
 * those too. An account that is isolated from those below it gets only its own.
 */
export async function putOut(
  manager: EntityManager,
  events: readonly DomainEvent[],
): Promise<OutgoingEvent[]> {
  const [first] = events;
  if (first === undefined) return [];
  const outgoing = events.map((event) => outgoingOf({ ...event, id: mintId("evt") }));
  await manager.query(
    `INSERT INTO delivery (webhook_id, event_id, type, at, body, status, attempts, last_error, next_attempt_at)
     SELECT w.id, e.id, e.type, $4, e.body, 'PENDING', 0, '', $4
     FROM webhook w JOIN account a ON a.id = w.account_id
     JOIN unnest($1::text[], $2::text[], $3::text[]) AS e(id, type, body)
       ON w.events = '{}' OR w.events && ARRAY[e.type, split_part(e.type, '.', 1) || '.*',
         '*.' || split_part(e.type, '.', 2), '*.*', '*']
     WHERE w.account_id = ANY ($5) AND (w.account_id = $6 OR (w.descendants AND NOT a.isolated))`,
    [
      outgoing.map(({ id }) => id),
      outgoing.map(({ type }) => type),
      outgoing.map(({ body }) => body),
      first.at,
      first.accountPath,
      first.accountPath.at(-1) ?? "",
    ],
  );
  return outgoing;
}
