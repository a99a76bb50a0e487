import { mintId } from "@gatehouse/keys";
import type { EntityManager } from "typeorm";
import type { Actor } from "../domain/limit-store.ts";

/** What happened, for the audit trail. */
export interface AuditEvent {
  readonly actor: Actor;
  readonly action: string;
  readonly targetId: string;
  readonly before: unknown;
  readonly after: unknown;
}

/** Writes events, in the transaction of what they tell of. */
export async function writeAudit(manager: EntityManager, events: readonly AuditEvent[]): Promise<void> {
  if (events.length === 0) return;
  const json = (value: unknown) => (value === undefined ? null : JSON.stringify(value));
  await manager.query(
    `INSERT INTO audit_event (id, actor_key_id, actor_account_id, action, target_id, before, after)
     SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::jsonb[])`,
    [
      events.map(() => mintId("evt")),
      events.map(({ actor }) => actor.keyId),
      events.map(({ actor }) => actor.accountId),
      events.map(({ action }) => action),
      events.map(({ targetId }) => targetId),
      events.map(({ before }) => json(before)),
      events.map(({ after }) => json(after)),
    ],
  );
}
