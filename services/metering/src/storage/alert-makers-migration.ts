import type { MigrationInterface, QueryRunner } from "typeorm";

/**
 * Whose key made an alert, as the audit tells it: nobody is told of what they no longer reach.
 *
 * Locks alert for as long as the audit is read through once, a second for a million events.
 */
export class AlertMakers1764710000000 implements MigrationInterface {
  readonly name = "AlertMakers1764710000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- Empty, as a replica of before leaves it: the alert's own account.
      ALTER TABLE alert ADD COLUMN made_by text COLLATE "C" NOT NULL DEFAULT '';
      UPDATE alert SET made_by = e.actor_account_id FROM audit_event e
        WHERE e.action = 'alerts.create' AND e.target_id = alert.id;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query("ALTER TABLE alert DROP COLUMN made_by");
  }
}
