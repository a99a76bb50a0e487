import { EntitySchema } from "typeorm";
import type { AuditEvent } from "../domain/events/audit.ts";

/** A row of `audit_event`. */
export interface AuditRow {
  id: string;
  at: Date;
  actor_key_id: string;
  actor_account_id: string;
  action: string;
  target: string;
  outcome: string;
  before: object | null;
  after: object | null;
  account_id: string;
  account_path: string[];
}

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

export function auditEventOf(row: AuditRow): AuditEvent {
  return {
    id: row.id,
    at: row.at,
    actorKeyId: row.actor_key_id,
    actorAccountId: row.actor_account_id,
    action: row.action,
    target: row.target,
    outcome: row.outcome,
    before: row.before,
    after: row.after,
    accountPath: row.account_path,
  };
}
