import type { MigrationInterface, QueryRunner } from "typeorm";
import { counted } from "./most-counted.ts";
import { UPDATED_FILL_PERCENT } from "./partitions.ts";
import { triggersThatAdd } from "./usage-costs-migration.ts";

/**
 * Usage is booked with three quarters of the processor time. What accounts used is added up by quarter before quarters are
 * told apart: eight columns asked each row which quarter it is of. And pages of usage are filled to a part, so that rows
 * are updated where they are: those of the minute and the quarter that run are with every batch.
 *
 * Functions are replaced, for whoever writes, also replicas of the version before. Settings of partitions wait for nobody
 * but VACUUM; pages that are there stay as they are.
 */
export class UsageSums1764740000000 implements MigrationInterface {
  readonly name = "UsageSums1764740000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(addByQuarter);
    for (const part of await partitions(runner)) {
      await runner.query(`ALTER TABLE ${part} SET (fillfactor = ${UPDATED_FILL_PERCENT})`);
    }
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const part of await partitions(runner)) await runner.query(`ALTER TABLE ${part} RESET (fillfactor)`);
    await runner.query(triggersThatAdd(["q", "units"], ["c", "cost"]));
  }
}

async function partitions(runner: QueryRunner): Promise<string[]> {
  const rows: { part: string }[] = await runner.query(
    `SELECT inhrelid::regclass::text AS part FROM pg_inherits
     WHERE inhparent IN ('usage_minute'::regclass, 'usage_quarter'::regclass, 'usage_account'::regclass)`,
  );
  return rows.map(({ part }) => part);
}

const series = "account_id, meter, currency";
const addByQuarter = `
  CREATE OR REPLACE FUNCTION usage_quarter_added() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    ${add(charged("added"))};
    RETURN NULL;
  END $$;
  CREATE OR REPLACE FUNCTION usage_quarter_changed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    ${add(`${charged("added")} UNION ALL ${charged("removed", "-")}`)};
    RETURN NULL;
  END $$;`;

/** SQL: what was charged for in rows of usage_quarter, by quarter. Each in the order that rows were written in. */
function charged(rows: string, sign = ""): string {
  return `SELECT start, ${series}, ${sign}sum(units) AS units, ${sign}sum(cost) AS cost
    FROM ${rows} WHERE outcome = 'VALID' GROUP BY start, ${series}`;
}

/** SQL: adds quarters to what their accounts used, in order, so that two batches cannot wait for each other. */
function add(quarters: string): string {
  const columns = [["q", "units"] as const, ["c", "cost"] as const].flatMap(([letter, column]) =>
    [0, 1, 2, 3].map((n) => ({
      to: letter + n,
      // Not outside: the least of nothing and a number is that number.
      sum: counted(`coalesce(sum(${column}) FILTER (WHERE n = ${n}), 0)`),
    })),
  );
  return `
    INSERT INTO usage_account AS u (start, ${series}, ${columns.map(({ to }) => to).join(", ")})
    SELECT date_bin('1 hour', start, 'epoch') AS hour, ${series}, ${columns.map(({ sum }) => sum).join(", ")}
    FROM (SELECT *, (extract(epoch FROM start)::bigint / 900) % 4 AS n FROM (${quarters}) AS r) AS quarter
    GROUP BY hour, ${series} ORDER BY account_id, hour, meter, currency
    ON CONFLICT (start, ${series}) DO UPDATE SET
      ${columns.map(({ to }) => `${to} = ${counted(`u.${to} + excluded.${to}`)}`).join(", ")}`;
}
