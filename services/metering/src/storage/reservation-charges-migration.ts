import type { MigrationInterface, QueryRunner } from "typeorm";

/** What reservations cost in the end. Locks the table for as long as it takes to note a column. */
export class ReservationCharges1764670000000 implements MigrationInterface {
  readonly name = "ReservationCharges1764670000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- Micros by currency; NULL until it is booked, and of what an older replica booked.
      ALTER TABLE reservation ADD COLUMN charged jsonb;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query("ALTER TABLE reservation DROP COLUMN charged");
  }
}
