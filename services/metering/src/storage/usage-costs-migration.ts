import type { MigrationInterface, QueryRunner } from "typeorm";
import { counted } from "./most-counted.ts";

const series = "account_id, start, key_id, meter, resource, outcome";
const tables = [
  { name: "usage_minute", key: series, sums: ["units"], costs: ["cost"] },
  { name: "usage_quarter", key: series, sums: ["units"], costs: ["cost"] },
  {
    name: "usage_account",
    key: "account_id, start, meter",
    sums: ["q0", "q1", "q2", "q3"],
    costs: ["c0", "c1", "c2", "c3"],
  },
] as const;

/**
 * What usage cost. Units that were charged in one currency are a row, and those that were free another, so that a
 * cost never adds money of two currencies. Usage is locked while its keys are made anew: some seconds for ten million
 * rows, and writers wait that long.
 */
export class UsageCosts1764650000000 implements MigrationInterface {
  readonly name = "UsageCosts1764650000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE usage_quarantine ADD COLUMN currency text COLLATE "C" NOT NULL DEFAULT '',
        ADD COLUMN cost bigint NOT NULL DEFAULT 0`);
    for (const { name, key, costs } of tables) {
      const columns = costs.map((cost) => `ADD COLUMN ${cost} bigint NOT NULL DEFAULT 0`).join(", ");
      await runner.query(`
        ALTER TABLE ${name} ADD COLUMN currency text COLLATE "C" NOT NULL DEFAULT '', ${columns};
        ALTER TABLE ${name} DROP CONSTRAINT ${name}_pkey;
        ALTER TABLE ${name} ADD CONSTRAINT ${name}_pkey PRIMARY KEY (${key}, currency);
      `);
    }
    await runner.query(triggersThatAdd(["q", "units"], ["c", "cost"]));
  }

  /** Forgets what usage cost. */
  async down(runner: QueryRunner): Promise<void> {
    // Before the rows move, which moves nothing between accounts.
    await runner.query("ALTER TABLE usage_quarter DISABLE TRIGGER USER");
    for (const { name, key, sums } of tables) {
      await runner.query(`
        CREATE TEMPORARY TABLE priced AS SELECT * FROM ${name} WHERE currency <> '';
        DELETE FROM ${name} WHERE currency <> '';
        ALTER TABLE ${name} DROP CONSTRAINT ${name}_pkey;
        ALTER TABLE ${name} ADD CONSTRAINT ${name}_pkey PRIMARY KEY (${key});
        INSERT INTO ${name} AS u (${key}, ${sums.join(", ")})
          SELECT ${key}, ${sums.map((sum) => `sum(${sum})`).join(", ")} FROM priced GROUP BY ${key}
          ON CONFLICT (${key}) DO UPDATE SET ${sums.map((sum) => `${sum} = u.${sum} + excluded.${sum}`).join(", ")};
        DROP TABLE priced;
      `);
    }
    await runner.query("ALTER TABLE usage_quarter ENABLE TRIGGER USER");
    await runner.query(triggersThatAdd(["q", "units"]));
    for (const { name, costs } of tables) {
      const columns = costs.map((cost) => `DROP COLUMN ${cost}`).join(", ");
      await runner.query(`ALTER TABLE ${name} DROP COLUMN currency, ${columns}`);
    }
    await runner.query("ALTER TABLE usage_quarantine DROP COLUMN currency, DROP COLUMN cost");
  }
}

/** A column of usage_account for each quarter of an hour, by its first letter, and the column of usage that it sums. */
type Summed = readonly [letter: string, column: string];

export function triggersThatAdd(...summed: readonly Summed[]): string {
  const isPriced = summed.length > 1;
  const all = ["start", "account_id", "meter", "outcome", ...(isPriced ? ["currency"] : [])].join(", ");
  const signed = (sign: string) => summed.map(([, column]) => sign + column).join(", ");
  return `
    CREATE OR REPLACE FUNCTION usage_quarter_added() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      ${add("added", summed, isPriced)};
      RETURN NULL;
    END $$;
    CREATE OR REPLACE FUNCTION usage_quarter_changed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      ${add(`(SELECT ${all}, ${signed("")} FROM added UNION ALL SELECT ${all}, ${signed("-")} FROM removed)`, summed, isPriced)};
      RETURN NULL;
    END $$;`;
}

/** Adds usage to what its accounts used, in order, so that two batches cannot wait for each other. */
function add(rows: string, summed: readonly Summed[], isPriced: boolean): string {
  const key = ["account_id", "meter", ...(isPriced ? ["currency"] : [])];
  const columns = summed.flatMap(([letter, column]) =>
    [0, 1, 2, 3].map((n) => {
      const isOfQuarter = `(extract(epoch FROM start)::bigint / 900) % 4 = ${n}`;
      return {
        to: letter + n,
        // Not outside: the least of nothing and a number is that number.
        sum: counted(`coalesce(sum(${column}) FILTER (WHERE ${isOfQuarter}), 0)`),
      };
    }),
  );
  return `
    INSERT INTO usage_account AS u (start, ${key.join(", ")}, ${columns.map(({ to }) => to).join(", ")})
    SELECT date_bin('1 hour', start, 'epoch') AS hour, ${key.join(", ")}, ${columns.map(({ sum }) => sum).join(", ")}
    FROM ${rows} AS r WHERE outcome = 'VALID' GROUP BY hour, ${key.join(", ")} ORDER BY account_id, hour, ${key.slice(1).join(", ")}
    ON CONFLICT (start, ${key.join(", ")}) DO UPDATE SET
      ${columns.map(({ to }) => `${to} = ${counted(`u.${to} + excluded.${to}`)}`).join(", ")}`;
}
