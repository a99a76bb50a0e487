import type { MigrationInterface, QueryRunner } from "typeorm";

/**
 * Lists of accounts of a type are pages by id: with the id in the index a page begins where the one before ended.
 * Builds one partial index, over accounts that have a type, while writes to accounts wait: until now none has one.
 */
export class AccountsByType1763900060000 implements MigrationInterface {
  readonly name = "AccountsByType1763900060000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP INDEX account_type_idx;
      CREATE INDEX account_type_idx ON account (type, id) WHERE type <> '';
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP INDEX account_type_idx;
      CREATE INDEX account_type_idx ON account (type) WHERE type <> '';
    `);
  }
}
