import type { MigrationInterface, QueryRunner } from "typeorm";

/**
 * Meters become definitions as all else that the provider lays down. The few rows are moved at once; the indexes, by
 * which a plan or type that is in use is told from one that is not, are built by one scan of `account` each, while
 * writes to accounts wait: under a second for a million.
 */
export class MetersDefined1763900010000 implements MigrationInterface {
  readonly name = "MetersDefined1763900010000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      INSERT INTO definition
      SELECT 'meter', root.id, m.name, '', jsonb_build_object('title', m.title, 'unit', m.unit),
        m.created_at, m.created_at
      FROM meter m, account root WHERE root.parent_id IS NULL;
      DROP TABLE meter;
      CREATE INDEX account_plan_idx ON account (plan) WHERE organization_id = id;
      CREATE INDEX account_enabled_types_idx ON account USING gin (enabled_types) WHERE enabled_types <> '{}';
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP INDEX account_plan_idx, account_enabled_types_idx;
      CREATE TABLE meter (
        name       text COLLATE "C" PRIMARY KEY,
        title      text NOT NULL,
        unit       text NOT NULL,
        created_at timestamptz NOT NULL
      );
      INSERT INTO meter SELECT name, body->>'title', body->>'unit', created_at FROM definition WHERE kind = 'meter';
      DELETE FROM definition WHERE kind = 'meter';
    `);
  }
}
