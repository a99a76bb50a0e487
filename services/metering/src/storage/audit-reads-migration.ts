import type { MigrationInterface, QueryRunner } from "typeorm";
import { fromRoot } from "./audit.ts";

/**
 * The audit as AuditService reads it: with the account that an event concerns, and its outcome, under the names that
 * identity's has. Actions are scopes. What a replica of before writes meanwhile concerns nobody, and keeps its action
 * without `gatehouse.`: only the provider reads it.
 *
 * Writes each row twice, for the column that is computed and for the others, and builds an index of each walk, while mutations wait: ten seconds for a million events.
 */
export class AuditReads1764730000000 implements MigrationInterface {
  readonly name = "AuditReads1764730000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE audit_event
        ADD COLUMN target text COLLATE "C" GENERATED ALWAYS AS (target_id) STORED,
        ADD COLUMN outcome text NOT NULL DEFAULT 'OK',
        ADD COLUMN account_id text COLLATE "C" NOT NULL DEFAULT '',
        -- From the root down to it.
        ADD COLUMN account_path text[] COLLATE "C" NOT NULL DEFAULT '{}';
      UPDATE audit_event e SET account_id = coalesce(a.id, ''), account_path = ${fromRoot("a.path")},
        action = CASE WHEN e.action LIKE 'gatehouse.%' THEN e.action ELSE 'gatehouse.' || e.action END
      FROM (SELECT id, CASE left(target_id, 4)
              WHEN 'acc_' THEN target_id
              WHEN 'lim_' THEN coalesce(after, before) #>> '{node,id}'
              WHEN 'alr_' THEN coalesce(coalesce(after, before) ->> 'accountId',
                (SELECT account_id FROM alert WHERE alert.id = target_id))
              ELSE nullif(actor_account_id, '') END AS node_id
            FROM audit_event) AS c
        LEFT JOIN key k ON k.id = c.node_id
        LEFT JOIN account a ON a.id = coalesce(k.account_id, c.node_id, (SELECT id FROM account WHERE parent_id IS NULL))
      WHERE c.id = e.id;
      CREATE INDEX audit_event_at_idx ON audit_event (at, id);
      CREATE INDEX audit_event_account_idx ON audit_event (account_id, at, id);
      CREATE INDEX audit_event_organization_idx ON audit_event ((account_path[2]), at, id);
      CREATE INDEX audit_event_actor_key_idx ON audit_event (actor_key_id, at, id);
      CREATE INDEX audit_event_actor_idx ON audit_event (actor_account_id, at, id);
      CREATE INDEX audit_event_target_idx ON audit_event (target, at, id);
      CREATE INDEX key_account ON key (account_id);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP INDEX key_account, audit_event_at_idx, audit_event_account_idx, audit_event_organization_idx,
        audit_event_actor_key_idx, audit_event_actor_idx, audit_event_target_idx;
      ALTER TABLE audit_event
        DROP COLUMN target, DROP COLUMN outcome, DROP COLUMN account_id, DROP COLUMN account_path;
      UPDATE audit_event SET action = substr(action, 11)
        WHERE action LIKE 'gatehouse.%' AND action <> 'gatehouse.usage.accept-gap';
    `);
  }
}
