import type { MigrationInterface, QueryRunner } from "typeorm";

/**
 * Facts that are no changes: when keys were used, nonces that were claimed, what was told of keys. The new columns
 * have constant defaults, which Postgres adds without rewriting a table. The indexes on `key` and `account` are built
 * by a scan each, while writes to those tables wait: some seconds for a million of each.
 */
export class ActivityNonces1763900000300 implements MigrationInterface {
  readonly name = "ActivityNonces1763900000300";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(activityUp);
    await runner.query(expiryUp);
    await runner.query(noncesUp);
    await runner.query(sealedUp);
    await runner.query(importsUp);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TRIGGER key_heartbeat ON key;
      DROP FUNCTION rearm_heartbeat;
      DROP TABLE key_activity, nonce;
      DROP INDEX key_signing_idx, account_upstream_credential_idx, key_retiring_idx, key_expiring_idx;
      ALTER TABLE key DROP COLUMN expiry_told;
      ALTER TABLE replay DROP COLUMN key_ids;
    `);
  }
}

const activityUp = `
  -- A row is rewritten each second that its key is used in; the room left in each page keeps that off the indexes.
  CREATE TABLE key_activity (
    key_id       text COLLATE "C" PRIMARY KEY,
    last_used_at timestamptz NOT NULL,
    -- When to look whether the key has fallen silent; null where that has been told, or nobody asks.
    silent_from  timestamptz
  ) WITH (fillfactor = 70);
  CREATE INDEX key_activity_silent_idx ON key_activity (silent_from) WHERE silent_from IS NOT NULL;

  -- A key's last beat is judged by what is asked of the key now, not by what was asked when it came.
  CREATE FUNCTION rearm_heartbeat() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    UPDATE key_activity SET silent_from = last_used_at + NEW.heartbeat_timeout_ms * interval '1 millisecond'
    WHERE key_id = NEW.id;
    RETURN NULL;
  END $$;
  CREATE TRIGGER key_heartbeat AFTER UPDATE OF heartbeat_timeout_ms ON key FOR EACH ROW
    WHEN (OLD.heartbeat_timeout_ms IS DISTINCT FROM NEW.heartbeat_timeout_ms)
    EXECUTE FUNCTION rearm_heartbeat();
`;

const expiryUp = `
  -- The expiry of which the owner was told; another expiry is told anew.
  ALTER TABLE key ADD COLUMN expiry_told timestamptz;
  CREATE INDEX key_expiring_idx ON key (expires_at)
    WHERE status = 'ENABLED' AND expires_at IS NOT NULL AND expiry_told IS DISTINCT FROM expires_at;
`;

const noncesUp = `
  CREATE TABLE nonce (
    key_id     text COLLATE "C" NOT NULL,
    nonce      text COLLATE "C" NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (key_id, nonce)
  );
  CREATE INDEX nonce_expires_idx ON nonce (expires_at);
`;

const sealedUp = `
  -- What is walked over where encryption keys are rotated.
  CREATE INDEX key_signing_idx ON key (id) WHERE signing IS NOT NULL;
  CREATE INDEX account_upstream_credential_idx ON account (id) WHERE upstream_credential <> '';
`;

const importsUp = `
  -- An imported credential in its grace is found by its hash too.
  CREATE INDEX key_retiring_idx ON key USING gin (retiring_hashes jsonb_path_ops) WHERE retiring_hashes <> '[]';
  -- All keys that one import made; empty for other creates.
  ALTER TABLE replay ADD COLUMN key_ids text[] NOT NULL DEFAULT '{}';
`;
