import type { MigrationInterface, QueryRunner } from "typeorm";

/** Which leases were held when batches of their epoch were lost. A default that is no row's: nothing is rewritten. */
export class EpochGaps1764540000000 implements MigrationInterface {
  readonly name = "EpochGaps1764540000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query("ALTER TABLE quota_lease ADD COLUMN after_gap boolean NOT NULL DEFAULT false");
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query("ALTER TABLE quota_lease DROP COLUMN after_gap");
  }
}
