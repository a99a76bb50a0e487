import type { MigrationInterface, QueryRunner } from "typeorm";

/**
 * Finds the accounts right below one.
 *
 * Keeps the mirror from being written for as long as it takes to build an index of accounts, a second for a million.
 */
export class AccountParents1764420000000 implements MigrationInterface {
  readonly name = "AccountParents1764420000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query("CREATE INDEX account_parent ON account (parent_id)");
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query("DROP INDEX account_parent");
  }
}
