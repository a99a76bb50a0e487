import type { MigrationInterface, QueryRunner } from "typeorm";

/**
 * Which account suspended one, so that nobody below that one resumes it. Of accounts that are suspended already it is
 * not known: their suspension is any strict ancestor's, as it was. A constant default, which rewrites no table; locks
 * `account` for that moment.
 */
export class SuspendedBy1763900080000 implements MigrationInterface {
  readonly name = "SuspendedBy1763900080000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE account ADD COLUMN suspended_by text COLLATE "C" NOT NULL DEFAULT ''`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query("ALTER TABLE account DROP COLUMN suspended_by");
  }
}
