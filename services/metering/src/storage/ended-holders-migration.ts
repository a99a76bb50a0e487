import type { MigrationInterface, QueryRunner } from "typeorm";

/** Which epochs have ended, and the way to what they still hold. */
export class EndedHolders1764100000000 implements MigrationInterface {
  readonly name = "EndedHolders1764100000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE ended_holder (
        holder text COLLATE "C" PRIMARY KEY
      );
      CREATE INDEX quota_lease_holder ON quota_lease (holder) WHERE NOT closed;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query("DROP INDEX quota_lease_holder; DROP TABLE ended_holder");
  }
}
