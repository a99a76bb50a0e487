import type { MigrationInterface, QueryRunner } from "typeorm";

/** What is there already becomes the first partition, up to the end of the day, or of the month. */
const tables = [
  { name: "usage_minute", step: "day" },
  { name: "usage_quarter", step: "month" },
] as const;

/**
 * Partitions usage by time: see partitions.ts. No row is copied. Each table is read through once, or twice where some of
 * its rows are of the future, with everybody else locked out of it: some seconds for a hundred million rows.
 */
export class UsagePartitions1764510000000 implements MigrationInterface {
  readonly name = "UsagePartitions1764510000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- From when on a partitioned table is whole: what is older has been dropped. No row: nothing has.
      CREATE TABLE partition_floor (
        name  text COLLATE "C" PRIMARY KEY,
        floor timestamptz NOT NULL
      );
    `);
    for (const { name, step } of tables) await partition(runner, name, step);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const { name } of tables) {
      await runner.query(`
        ALTER TABLE ${name} RENAME TO ${name}_partitioned;
        ALTER INDEX ${name}_pkey RENAME TO ${name}_partitioned_pkey;
        CREATE TABLE ${name} (LIKE ${name}_partitioned INCLUDING ALL);
        INSERT INTO ${name} SELECT * FROM ${name}_partitioned;
        DROP TABLE ${name}_partitioned;
      `);
    }
    await runner.query("DROP TABLE partition_floor");
  }
}

async function partition(runner: QueryRunner, name: string, step: "day" | "month"): Promise<void> {
  const [{ cut, day }] = (await runner.query(
    `SELECT to_char(c, 'YYYY-MM-DD"T"00:00:00"Z"') AS cut, to_char(c, 'YYYYMMDD') AS day
     FROM (SELECT date_trunc('${step}', now() AT TIME ZONE 'UTC') + interval '1 ${step}' AS c) AS next`,
  )) as [{ cut: string; day: string }];
  const before = `${name}_before_${day}`;
  await runner.query(`
    ALTER TABLE ${name} RENAME TO ${before};
    ALTER INDEX ${name}_pkey RENAME TO ${before}_pkey;
    CREATE TABLE ${name} (LIKE ${before} INCLUDING ALL) PARTITION BY RANGE (start);
    CREATE TABLE ${name}_default PARTITION OF ${name} DEFAULT;
    WITH moved AS (DELETE FROM ${before} WHERE start >= '${cut}' RETURNING *)
    INSERT INTO ${name} SELECT * FROM moved;
    ALTER TABLE ${name} ATTACH PARTITION ${before} FOR VALUES FROM (MINVALUE) TO ('${cut}');
  `);
}
