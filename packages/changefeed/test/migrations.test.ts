import { startTestPostgres } from "@gatehouse/stack/test-postgres";
import type { MigrationInterface, QueryRunner } from "typeorm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openDatabase } from "../src/index.ts";

let postgres: Awaited<ReturnType<typeof startTestPostgres>>;

beforeAll(async () => {
  postgres = await startTestPostgres();
});
afterAll(() => postgres?.stop());

class KeepItsTimeouts1700000000000 implements MigrationInterface {
  readonly name = "KeepItsTimeouts1700000000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE timeouts AS SELECT current_setting('statement_timeout') AS statement,
      current_setting('lock_timeout') AS lock`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query("DROP TABLE timeouts");
  }
}

describe("a migration", () => {
  it("may take as long as its tables are large, and waits for a table longer than a call does", async () => {
    const database = await openDatabase({
      url: postgres.url,
      schema: "migrated",
      entities: [],
      migrations: [KeepItsTimeouts1700000000000],
    });
    try {
      const [[migration], [call]] = await Promise.all([
        database.query("SELECT * FROM timeouts"),
        database.query(`SELECT current_setting('statement_timeout') AS statement,
          current_setting('lock_timeout') AS lock`),
      ]);
      expect(migration).toEqual({ statement: "0", lock: "10s" });
      expect(call).toEqual({ statement: "30s", lock: "1s" });
    } finally {
      await database.destroy();
    }
  });

  it("runs once, however many start together", async () => {
    const open = () =>
      openDatabase({
        url: postgres.url,
        schema: "together",
        entities: [],
        migrations: [KeepItsTimeouts1700000000000],
      });
    const databases = await Promise.all([open(), open(), open()]);
    const [{ count }] = await databases[0]!.query("SELECT count(*)::int FROM timeouts");
    expect(count).toBe(1);
    await Promise.all(databases.map((database) => database.destroy()));
  });
});
