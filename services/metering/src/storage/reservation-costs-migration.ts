import type { MigrationInterface, QueryRunner } from "typeorm";

/** What estimates cost, and of which wallets. Locks the table for as long as it takes to note two columns. */
export class ReservationCosts1764660000000 implements MigrationInterface {
  readonly name = "ReservationCosts1764660000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- What of the estimate has a price: meter, priceId, currency, micros. NULL: nothing has.
      ALTER TABLE reservation ADD COLUMN costs jsonb,
        -- Ids of the wallets that it was taken of.
        ADD COLUMN wallets jsonb;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query("ALTER TABLE reservation DROP COLUMN costs, DROP COLUMN wallets");
  }
}
