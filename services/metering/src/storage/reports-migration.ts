import type { MigrationInterface, QueryRunner } from "typeorm";

/** Reported events, by which one is known that comes again. New tables: nothing is locked that anybody uses. */
export class Reports1764500000000 implements MigrationInterface {
  readonly name = "Reports1764500000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE reported_event (
        -- Of the event's time, in UTC. A day's partition goes when no event of that day is taken any more.
        day     date  NOT NULL,
        source  text COLLATE "C" NOT NULL,
        id      text COLLATE "C" NOT NULL,
        -- 16 bytes of a SHA-256 of what it says.
        content bytea NOT NULL,
        PRIMARY KEY (day, source, id)
      ) PARTITION BY RANGE (day);
      CREATE TABLE reported_event_default PARTITION OF reported_event DEFAULT;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query("DROP TABLE reported_event");
  }
}
