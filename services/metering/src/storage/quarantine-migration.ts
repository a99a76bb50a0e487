import type { MigrationInterface, QueryRunner } from "typeorm";

/**
 * Since when rows wait in quarantine, and an index of whose they are. The table is locked while the index is made: it is
 * empty, or as good as that, in a deployment that is well.
 */
export class Quarantine1764520000000 implements MigrationInterface {
  readonly name = "Quarantine1764520000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE usage_quarantine ADD COLUMN since timestamptz NOT NULL DEFAULT now();
      DROP INDEX usage_quarantine_account;
      CREATE INDEX usage_quarantine_series ON usage_quarantine (account_id, meter);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP INDEX usage_quarantine_series;
      CREATE INDEX usage_quarantine_account ON usage_quarantine (account_id);
      ALTER TABLE usage_quarantine DROP COLUMN since;
    `);
  }
}
