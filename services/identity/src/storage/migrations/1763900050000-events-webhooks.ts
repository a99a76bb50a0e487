import type { MigrationInterface, QueryRunner } from "typeorm";

/**
 * Webhooks, what is on its way to them, and the walks that the audit is read by. The new tables are empty. The
 * indexes of `audit_event` are built by one scan each, while mutations wait: some seconds for a million events.
 */
export class EventsWebhooks1763900050000 implements MigrationInterface {
  readonly name = "EventsWebhooks1763900050000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(webhooksUp);
    await runner.query(auditUp);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TABLE delivery, webhook;
      DROP INDEX audit_event_at_idx, audit_event_account_idx, audit_event_organization_idx,
        audit_event_actor_key_idx, audit_event_actor_idx, audit_event_target_idx;
      CREATE INDEX audit_event_actor_idx ON audit_event (actor_account_id, id);
      CREATE INDEX audit_event_target_idx ON audit_event (target, id);
    `);
  }
}

const webhooksUp = `
  CREATE TABLE webhook (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id    text COLLATE "C" NOT NULL REFERENCES account,
    name          text COLLATE "C" NOT NULL,
    url           text NOT NULL,
    events        text[] NOT NULL,
    paused        boolean NOT NULL,
    descendants   boolean NOT NULL,
    sealed_secret text NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    CONSTRAINT webhook_name_key UNIQUE (account_id, name)
  );

  -- Names its webhook without a foreign key: with one, what deletes a webhook would wait for every mutation that has
  -- something to tell it, and they for it. What is left of a deleted one goes out to nobody and is swept.
  CREATE TABLE delivery (
    webhook_id      bigint NOT NULL,
    event_id        text COLLATE "C" NOT NULL,
    type            text NOT NULL,
    at              timestamptz NOT NULL,
    body            text NOT NULL,
    status          text NOT NULL CHECK (status IN ('PENDING', 'DELIVERED', 'DEAD')),
    attempts        integer NOT NULL,
    last_error      text NOT NULL,
    -- While an attempt is under way: when its claim is over.
    next_attempt_at timestamptz NOT NULL,
    PRIMARY KEY (webhook_id, event_id)
  );
  CREATE INDEX delivery_due_idx ON delivery (webhook_id, next_attempt_at) WHERE status = 'PENDING';
  CREATE INDEX delivery_status_idx ON delivery (webhook_id, status, event_id);
  CREATE INDEX delivery_at_idx ON delivery (at);
`;

const auditUp = `
  DROP INDEX audit_event_actor_idx, audit_event_target_idx;
  CREATE INDEX audit_event_at_idx ON audit_event (at, id);
  CREATE INDEX audit_event_account_idx ON audit_event (account_id, at, id);
  CREATE INDEX audit_event_organization_idx ON audit_event ((account_path[2]), at, id);
  CREATE INDEX audit_event_actor_key_idx ON audit_event (actor_key_id, at, id);
  CREATE INDEX audit_event_actor_idx ON audit_event (actor_account_id, at, id);
  CREATE INDEX audit_event_target_idx ON audit_event (target, at, id);
`;
