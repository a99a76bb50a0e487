import type { MigrationInterface, QueryRunner } from "typeorm";

/**
 * What organizations have given of their credit. Limits of before count as the provider's.
 *
 * Locks wallet for as long as it takes to note two columns.
 */
export class CreditGiven1764750000000 implements MigrationInterface {
  readonly name = "CreditGiven1764750000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE wallet
        -- Of an organization's limit, what accounts below it have: it is not in credit_limit any more.
        ADD COLUMN credit_given bigint NOT NULL DEFAULT 0,
        -- The limit was raised by a key of the organization, and is taken off that's.
        ADD COLUMN credit_covered boolean NOT NULL DEFAULT false,
        -- Below zero where the provider lowers a limit of which more is given: money covers the rest.
        DROP CONSTRAINT wallet_credit_limit_check;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      UPDATE wallet SET credit_limit = credit_limit + credit_given WHERE credit_given <> 0;
      ALTER TABLE wallet DROP COLUMN credit_given, DROP COLUMN credit_covered,
        ADD CONSTRAINT wallet_credit_limit_check CHECK (credit_limit >= 0);
    `);
  }
}
