import type { AuditFilter, AuditPage, AuditPlace, AuditReads, AuditStretch } from "@gatehouse/access";
import { AuditReader, sweepAudit } from "@gatehouse/events";
import { mintId } from "@gatehouse/keys";
import type { DataSource, EntityManager } from "typeorm";
import type { Actor } from "../domain/actor.ts";
import type { Refusal, RefusalStore } from "../domain/record-refusal.ts";
import { readNowMs } from "./clock.ts";

/** What happened, for the audit trail. */
export interface AuditEvent {
  readonly actor: Actor;
  /** The scope that it takes. */
  readonly action: `gatehouse.${string}`;
  readonly targetId: string;
  /** The account that it concerns, by its id or a key's; empty for the provider. */
  readonly concerns: string;
  /** Default `OK`; else the reason of a refusal. */
  readonly outcome?: string;
  readonly before: unknown;
  readonly after: unknown;
}

/** Writes events, in the transaction of what they tell of. */
export async function writeAudit(manager: EntityManager, events: readonly AuditEvent[]): Promise<void> {
  if (events.length === 0) return;
  const json = (value: unknown) => (value === undefined ? null : JSON.stringify(value));
  await manager.query(
    `INSERT INTO audit_event
       (id, actor_key_id, actor_account_id, action, target_id, outcome, before, after, account_id, account_path)
     SELECT e.id, e.key_id, e.account_id, e.action, e.target, e.outcome, e.before, e.after,
       coalesce(a.id, ''), ${fromRoot("a.path")}
     FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::jsonb[], $8::jsonb[], $9::text[])
       AS e(id, key_id, account_id, action, target, outcome, before, after, concerns)
     LEFT JOIN key k ON k.id = e.concerns
     LEFT JOIN account a ON a.id = CASE WHEN e.concerns = '' THEN (SELECT id FROM account WHERE parent_id IS NULL)
       ELSE coalesce(k.account_id, e.concerns) END`,
    [
      events.map(() => mintId("evt")),
      events.map(({ actor }) => actor.keyId),
      events.map(({ actor }) => actor.accountId),
      events.map(({ action }) => action),
      events.map(({ targetId }) => targetId),
      events.map(({ outcome = "OK" }) => outcome),
      events.map(({ before }) => json(before)),
      events.map(({ after }) => json(after)),
      events.map(({ concerns }) => concerns),
    ],
  );
}

/** SQL: a path of accounts, which the mirror has from the account upwards, from the root downwards. */
export function fromRoot(path: string): string {
  return `ARRAY(SELECT id FROM unnest(${path}) WITH ORDINALITY AS p(id, n) ORDER BY n DESC)`;
}

/** The audit, read, and refusals on their way into it. */
export class PostgresAuditStore implements AuditReads, RefusalStore {
  readonly #dataSource: DataSource;
  readonly #reader: AuditReader;

  constructor(dataSource: DataSource) {
    this.#dataSource = dataSource;
    this.#reader = new AuditReader(dataSource.manager);
  }

  placeOf(eventId: string): Promise<AuditPlace | undefined> {
    return this.#reader.placeOf(eventId);
  }

  list(filter: AuditFilter, stretch: AuditStretch): Promise<AuditPage> {
    return this.#reader.list(filter, stretch);
  }

  /** Of the database, which events are dated by. */
  databaseNowMs(): Promise<number> {
    return readNowMs(this.#dataSource.manager, () => 0);
  }

  recordRefusal({ actor, action, target: targetId, outcome }: Refusal): Promise<void> {
    const event = { actor, action, targetId, outcome, concerns: actor.accountId };
    return writeAudit(this.#dataSource.manager, [{ ...event, before: undefined, after: undefined }]);
  }

  /** Forgets events that are older. */
  async sweep(retentionMs: number): Promise<void> {
    await sweepAudit(this.#dataSource.manager, new Date((await this.databaseNowMs()) - retentionMs));
  }
}
