import type { MigrationInterface, QueryRunner } from "typeorm";

/**
 * What each wallet moved by hour and kind: a statement of a month reads some hundred rows of a wallet, and not the million
 * that the ledger may have of it. A trigger adds it up, in the transaction of the rows, whoever writes them, also replicas
 * of the version before. Whoever adds to a row holds its wallet, so nobody waits for anybody here.
 *
 * Holds up whoever moves money or ingests while the ledger is added up once: two seconds for a million rows.
 */
export class WalletHours1764770000000 implements MigrationInterface {
  readonly name = "WalletHours1764770000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE wallet_hour (
        wallet_id text COLLATE "C" NOT NULL,
        -- Its beginning.
        hour      timestamptz NOT NULL,
        kind      text COLLATE "C" NOT NULL,
        -- What came less what went. It may go back and forth a thousand times by all that a bigint holds.
        amount    numeric NOT NULL,
        PRIMARY KEY (wallet_id, hour, kind)
      ) WITH (fillfactor = 80);

      CREATE FUNCTION wallet_moved() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        INSERT INTO wallet_hour AS h (wallet_id, hour, kind, amount)
        ${movedIn("added")}
        ON CONFLICT (wallet_id, hour, kind) DO UPDATE SET amount = h.amount + excluded.amount;
        RETURN NULL;
      END $$;
      CREATE TRIGGER wallet_moved AFTER INSERT ON ledger_transfer
        REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION wallet_moved();
      INSERT INTO wallet_hour (wallet_id, hour, kind, amount) ${movedIn("ledger_transfer")};
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TRIGGER wallet_moved ON ledger_transfer;
      DROP FUNCTION wallet_moved;
      DROP TABLE wallet_hour;
    `);
  }
}

function movedIn(rows: string): string {
  return `SELECT wallet_id, date_bin('1 hour', at, 'epoch'), kind, sum(amount) FROM (
      SELECT to_wallet AS wallet_id, at, kind, amount FROM ${rows} WHERE to_balance IS NOT NULL
      UNION ALL
      SELECT from_wallet, at, kind, -amount FROM ${rows} WHERE from_balance IS NOT NULL) AS moved
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`;
}
