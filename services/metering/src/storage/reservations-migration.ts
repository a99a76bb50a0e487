import type { MigrationInterface, QueryRunner } from "typeorm";

/** Estimates that are held, and how they were settled. */
export class Reservations1764300000000 implements MigrationInterface {
  readonly name = "Reservations1764300000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE reservation (
        decision_id   text COLLATE "C" PRIMARY KEY,
        expires_at    timestamptz NOT NULL,
        -- OPEN, COMMITTED or RELEASED.
        state         text    NOT NULL DEFAULT 'OPEN',
        -- Of a commit: units by meter.
        cost          jsonb,
        -- More than the estimate is booked, too.
        may_exceed    boolean,
        -- What it cost other than the estimate is in usage and buckets.
        booked        boolean NOT NULL DEFAULT false,
        -- What its batch said; NULL before that has come.
        account_id    text COLLATE "C",
        key_id        text COLLATE "C",
        parent_key_id text COLLATE "C",
        resource      text COLLATE "C",
        minute        bigint,
        -- Units by meter.
        estimate      jsonb,
        -- Of quotas: bucketId, limitId, units.
        draws         jsonb
      );
      CREATE INDEX reservation_open ON reservation (expires_at) WHERE state = 'OPEN';
      CREATE INDEX reservation_settled ON reservation (expires_at) WHERE state <> 'OPEN';
      CREATE INDEX reservation_due ON reservation (decision_id)
        WHERE state <> 'OPEN' AND NOT booked AND account_id IS NOT NULL;
      CREATE INDEX reservation_account ON reservation (account_id) WHERE state = 'OPEN';
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query("DROP TABLE reservation");
  }
}
