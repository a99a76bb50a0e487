import { mintId } from "@gatehouse/keys";
import type { EntityManager } from "typeorm";
import type { DomainEvent } from "../domain/event.ts";

/** An event as it leaves: the same text for every webhook, and for the bus. */
export interface OutgoingEvent {
  readonly id: string;
  readonly type: string;
  /** Of the organization that it concerns; undefined for the provider's own. */
  readonly organizationId: string | undefined;
  readonly body: string;
}

/**
 * Writes an event down for every webhook that is to get it, in the transaction of what it tells of: for the webhooks
 * of the accounts on its path that want its type. An account that is isolated from those below it gets only its own.
 */
export async function putOut(manager: EntityManager, event: DomainEvent): Promise<OutgoingEvent> {
  const outgoing = outgoingOf(event);
  const { type, at, accountPath } = event;
  const [noun, verb] = type.split(".");
  await manager.query(
    `INSERT INTO delivery (webhook_id, event_id, type, at, body, status, attempts, last_error, next_attempt_at)
     SELECT w.id, $1, $2, $3, $4, 'PENDING', 0, '', $3
     FROM webhook w JOIN account a ON a.id = w.account_id
     WHERE w.account_id = ANY ($5) AND (w.account_id = $6 OR NOT a.isolated)
       AND (w.events = '{}' OR w.events && $7::text[])`,
    [
      outgoing.id,
      type,
      at,
      outgoing.body,
      accountPath,
      accountPath.at(-1) ?? "",
      [type, `${noun}.*`, `*.${verb}`, "*.*", "*"],
    ],
  );
  return outgoing;
}

function outgoingOf({ type, at, accountPath, subject, data }: DomainEvent): OutgoingEvent {
  const id = mintId("evt");
  const [, organizationId] = accountPath;
  const body = {
    id,
    type,
    at: at.toISOString(),
    account_id: accountPath.at(-1) ?? "",
    organization_id: organizationId ?? "",
    subject,
    data,
  };
  return { id, type, organizationId, body: JSON.stringify(body) };
}
