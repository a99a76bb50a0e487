import type { MigrationInterface, QueryRunner } from "typeorm";

/**
 * Keeps the mirror's nodes whole, as the feed tells them, beside the columns that SQL looks for, and finds accounts by
 * the slugs they had. The mirror is emptied and its position forgotten, so that it is read anew: until then nothing
 * is found in it, which metering answers as it does while identity is out of reach.
 *
 * Locks account, key and meter exclusively, for no longer than it takes to empty them.
 */
export class MirrorNodes1764200000000 implements MigrationInterface {
  readonly name = "MirrorNodes1764200000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      TRUNCATE account, key, meter;
      DELETE FROM feed_position WHERE source = 'identity';
      ALTER TABLE account DROP COLUMN slug, DROP COLUMN status, DROP COLUMN labels,
        -- Its slugs, now and formerly, each after the id of the account in whose space it is.
        ADD COLUMN names text[] COLLATE "C" NOT NULL,
        ADD COLUMN node  jsonb NOT NULL;
      CREATE INDEX account_names ON account USING gin (names);
      ALTER TABLE key DROP COLUMN kind, DROP COLUMN status, DROP COLUMN name, DROP COLUMN labels,
        DROP COLUMN secret_hashes, DROP COLUMN roles, DROP COLUMN scopes,
        DROP COLUMN not_before_ms, DROP COLUMN expires_at_ms,
        -- Of its credentials, by which imported keys are found.
        ADD COLUMN hashes text[] COLLATE "C" NOT NULL,
        ADD COLUMN node   jsonb NOT NULL;
      CREATE INDEX key_hashes ON key USING gin (hashes);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      TRUNCATE account, key, meter;
      DELETE FROM feed_position WHERE source = 'identity';
      ALTER TABLE account DROP COLUMN names, DROP COLUMN node,
        ADD COLUMN slug   text  NOT NULL,
        ADD COLUMN status text  NOT NULL,
        ADD COLUMN labels jsonb NOT NULL;
      CREATE INDEX account_slug ON account (organization_id, slug);
      ALTER TABLE key DROP COLUMN hashes, DROP COLUMN node,
        ADD COLUMN kind          text   NOT NULL,
        ADD COLUMN status        text   NOT NULL,
        ADD COLUMN name          text   NOT NULL,
        ADD COLUMN labels        jsonb  NOT NULL,
        ADD COLUMN secret_hashes text[] NOT NULL,
        ADD COLUMN roles         text[] NOT NULL,
        ADD COLUMN scopes        text[] NOT NULL,
        ADD COLUMN not_before_ms bigint,
        ADD COLUMN expires_at_ms bigint;
    `);
  }
}
