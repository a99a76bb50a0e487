import type { MigrationInterface, QueryRunner } from "typeorm";

/**
 * What became of credentials: which imported ones are used up, and when somebody was last told that a key leaked. A new
 * table, a column without a default, which rewrites nothing, and an index on the few invitations that wait; each is
 * locked for that long.
 */
export class EndedCredentials1763900070000 implements MigrationInterface {
  readonly name = "EndedCredentials1763900070000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE retired_credential (
        hash text COLLATE "C" PRIMARY KEY,
        at   timestamptz NOT NULL
      );

      ALTER TABLE key ADD COLUMN leak_told_at timestamptz;

      CREATE INDEX invitation_inviter_idx ON invitation (invited_by) WHERE state = 'PENDING';
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP INDEX invitation_inviter_idx;
      ALTER TABLE key DROP COLUMN leak_told_at;
      DROP TABLE retired_credential;
    `);
  }
}
