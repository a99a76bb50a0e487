import type { MigrationInterface, QueryRunner } from "typeorm";

/**
 * Plans with their default limits, and how far each organization has those of its plan.
 *
 * Locks node_limit exclusively for a moment: the new column has a constant default, so no row is rewritten. The
 * position in identity's feed is forgotten, so that the mirror is read anew with plans in it: until then metering
 * answers as it does while identity is out of reach. A replica of before passes over what the feed tells of plans,
 * so while some still run, default limits are better left as they are.
 */
export class Plans1764400000000 implements MigrationInterface {
  readonly name = "Plans1764400000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE SEQUENCE plan_version;

      CREATE TABLE plan (
        name    text COLLATE "C" PRIMARY KEY,
        -- Terms of limits, as JSON.
        limits  jsonb  NOT NULL,
        -- Another one, and a higher, whenever the limits change.
        version bigint NOT NULL DEFAULT nextval('plan_version')
      );

      CREATE TABLE organization_plan (
        account_id text COLLATE "C" PRIMARY KEY,
        plan       text COLLATE "C" NOT NULL,
        -- Of the plan whose limits it has; lower than the plan's where they are yet to be brought up to date.
        version    bigint NOT NULL
      );
      CREATE INDEX organization_plan_version ON organization_plan (plan, version);

      ALTER TABLE node_limit ADD COLUMN source text NOT NULL DEFAULT 'OWN';

      DELETE FROM feed_position WHERE source = 'identity';
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE node_limit DROP COLUMN source;
      DROP TABLE organization_plan, plan;
      DROP SEQUENCE plan_version;
    `);
  }
}
