import type { MigrationInterface, QueryRunner } from "typeorm";
import { counted } from "./most-counted.ts";

const QUARTERS = [0, 1, 2, 3] as const;

/**
 * Units charged by account and hour, with each quarter of it apart: what keys used, added up, so that a month of an
 * organization with a thousand keys need not read them all. Kept by triggers of usage_quarter: in its transactions,
 * whoever writes, also replicas of the version before. Writers of usage_quarter wait while it is added up once.
 */
export class UsageAccounts1764530000000 implements MigrationInterface {
  readonly name = "UsageAccounts1764530000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE usage_account (
        -- Of the hour, of UTC.
        start      timestamptz NOT NULL,
        account_id text COLLATE "C" NOT NULL,
        meter      text COLLATE "C" NOT NULL,
        ${QUARTERS.map((n) => `q${n} bigint NOT NULL,`).join(" ")}
        PRIMARY KEY (account_id, start, meter)
      ) PARTITION BY RANGE (start);
      CREATE TABLE usage_account_default PARTITION OF usage_account DEFAULT;

      CREATE FUNCTION usage_quarter_added() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        ${add("added")};
        RETURN NULL;
      END $$;
      CREATE FUNCTION usage_quarter_changed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        ${add(`(SELECT start, account_id, meter, outcome, units FROM added
          UNION ALL SELECT start, account_id, meter, outcome, -units FROM removed)`)};
        RETURN NULL;
      END $$;
      CREATE TRIGGER usage_account_added AFTER INSERT ON usage_quarter
        REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION usage_quarter_added();
      CREATE TRIGGER usage_account_changed AFTER UPDATE ON usage_quarter
        REFERENCING NEW TABLE AS added OLD TABLE AS removed
        FOR EACH STATEMENT EXECUTE FUNCTION usage_quarter_changed();

      ${add("usage_quarter")};
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TRIGGER usage_account_changed ON usage_quarter;
      DROP TRIGGER usage_account_added ON usage_quarter;
      DROP FUNCTION usage_quarter_changed;
      DROP FUNCTION usage_quarter_added;
      DROP TABLE usage_account;
    `);
  }
}

/** In order, so that two batches cannot wait for each other. */
function add(rows: string): string {
  const quarter = (n: number) => {
    const units = `sum(units) FILTER (WHERE (extract(epoch FROM start)::bigint / 900) % 4 = ${n})`;
    return counted(`coalesce(${units}, 0)`);
  };
  return `
    INSERT INTO usage_account AS u (start, account_id, meter, ${QUARTERS.map((n) => `q${n}`).join(", ")})
    SELECT date_bin('1 hour', start, 'epoch'), account_id, meter, ${QUARTERS.map(quarter).join(", ")}
    FROM ${rows} AS r WHERE outcome = 'VALID' GROUP BY 1, 2, 3 ORDER BY 2, 1, 3
    ON CONFLICT (account_id, start, meter) DO UPDATE SET
      ${QUARTERS.map((n) => `q${n} = ${counted(`u.q${n} + excluded.q${n}`)}`).join(", ")}`;
}
