import type { MigrationInterface, QueryRunner } from "typeorm";

/** Statements as they were first given for periods that were over. A new table: it locks nothing. */
export class Statements1764620000000 implements MigrationInterface {
  readonly name = "Statements1764620000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE statement (
        account_id  text COLLATE "C" NOT NULL,
        -- Of all below it, too.
        descendants boolean NOT NULL,
        -- Of a month; empty for a span.
        time_zone   text NOT NULL,
        start_at    timestamptz NOT NULL,
        end_at      timestamptz NOT NULL,
        -- Never changed: balances, usage, adjustments.
        body        jsonb NOT NULL,
        stated_at   timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (account_id, descendants, time_zone, end_at, start_at)
      )
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query("DROP TABLE statement");
  }
}
