import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import pg from "pg";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Ledger, openLedger } from "./ledger.ts";

let postgres: TestPostgres;
let ledger: Ledger;
let other: pg.Client;

beforeAll(async () => {
  postgres = await startTestPostgres();
  ledger = await openLedger(postgres.url, "partitions");
  other = new pg.Client({ connectionString: postgres.url, options: "-c search_path=partitions" });
  await other.connect();
  await other.query(`
    CREATE TABLE event (at int NOT NULL CHECK (at >= 0)) PARTITION BY RANGE (at);
    CREATE TABLE event_default PARTITION OF event DEFAULT;
  `);
});

afterAll(async () => {
  await other.end();
  await ledger.close();
  await postgres.stop();
});

it("runs a mutation again whose row was on its way where another partition is attached meanwhile", async () => {
  await other.query("BEGIN");
  await other.query("LOCK TABLE event_default IN ACCESS EXCLUSIVE MODE");
  let runs = 0;
  const committed = ledger.log.commit(async ({ manager }) => {
    runs++;
    await manager.query("INSERT INTO event VALUES (5)");
  });
  await expect
    .poll(async () => (await other.query("SELECT 1 FROM pg_locks WHERE NOT granted")).rowCount, {
      timeout: 5000,
    })
    .toBeGreaterThan(0);
  await other.query("CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM (0) TO (10)");
  await other.query("COMMIT");
  await committed;
  expect(runs).toBe(2);
  expect((await other.query("SELECT at FROM event_1")).rows).toEqual([{ at: 5 }]);
});

it("does not run one again that breaks a rule of its table", async () => {
  let runs = 0;
  const refused = ledger.log.commit(async ({ manager }) => {
    runs++;
    await manager.query("INSERT INTO event VALUES (-1)");
  });
  await expect(refused).rejects.toMatchObject({ driverError: { constraint: "event_at_check" } });
  expect(runs).toBe(1);
});
