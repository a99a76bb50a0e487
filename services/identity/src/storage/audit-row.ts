import type { AuditEvent } from "@gatehouse/access";
import type { AuditRow } from "@gatehouse/events";
import { EntitySchema } from "typeorm";

export const auditRows = new EntitySchema<AuditRow>({
  name: "audit_event",
  columns: {
    id: { type: "text", primary: true },
    at: { type: "timestamptz" },
    actor_key_id: { type: "text" },
    actor_account_id: { type: "text" },
    action: { type: "text" },
    target: { type: "text" },
    outcome: { type: "text" },
    before: { type: "jsonb", nullable: true },
    after: { type: "jsonb", nullable: true },
    account_id: { type: "text" },
    account_path: { type: "text", array: true },
  },
});

export function auditRow(event: AuditEvent): AuditRow {
  return {
    id: event.id,
    at: event.at,
    actor_key_id: event.actorKeyId,
    actor_account_id: event.actorAccountId,
    action: event.action,
    target: event.target,
    outcome: event.outcome,
    before: event.before as object | null,
    after: event.after as object | null,
    account_id: event.accountPath.at(-1) ?? "",
    account_path: [...event.accountPath],
  };
}
