import type { MigrationInterface, QueryRunner } from "typeorm";

/**
 * Says in the ledger who moved money, and orders it by time: of one wallet that is the order of seq, and spans of time
 * are found in it. Locks the ledger exclusively while the indexes are built, some seconds for a million rows.
 */
export class LedgerOrder1764610000000 implements MigrationInterface {
  readonly name = "LedgerOrder1764610000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- Of usage: nobody.
      ALTER TABLE ledger_transfer ADD COLUMN actor_key_id text COLLATE "C" NOT NULL DEFAULT '';
      DROP INDEX ledger_from, ledger_to, ledger_organization;
      CREATE INDEX ledger_from ON ledger_transfer (from_wallet, at, seq) WHERE from_balance IS NOT NULL;
      CREATE INDEX ledger_to ON ledger_transfer (to_wallet, at, seq) WHERE to_balance IS NOT NULL;
      CREATE INDEX ledger_organization ON ledger_transfer (organization_id, at, seq);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE ledger_transfer DROP COLUMN actor_key_id;
      DROP INDEX ledger_from, ledger_to, ledger_organization;
      CREATE INDEX ledger_from ON ledger_transfer (from_wallet, seq) WHERE from_balance IS NOT NULL;
      CREATE INDEX ledger_to ON ledger_transfer (to_wallet, seq) WHERE to_balance IS NOT NULL;
      CREATE INDEX ledger_organization ON ledger_transfer (organization_id, seq);
    `);
  }
}
