import type { MigrationInterface, QueryRunner } from "typeorm";

/**
 * Finds a limit's bucket of the window that runs, however many were before it, and buckets of windows long over.
 *
 * Keeps quota_bucket from being written for as long as it takes to build two indexes, two seconds for a million rows.
 */
export class QuotaEnds1764760000000 implements MigrationInterface {
  readonly name = "QuotaEnds1764760000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE INDEX quota_bucket_running ON quota_bucket (limit_id, window_end);
      CREATE INDEX quota_bucket_over ON quota_bucket (window_end) WHERE window_end IS NOT NULL;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query("DROP INDEX quota_bucket_running, quota_bucket_over");
  }
}
