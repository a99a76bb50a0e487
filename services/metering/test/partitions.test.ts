import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { AccountNode } from "@gatehouse/access";
import { openDatabase } from "@gatehouse/changefeed";
import { ErrorReason } from "@gatehouse/proto/common";
import { Granularity } from "@gatehouse/proto/metering";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import type { DataSource } from "typeorm";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { Initial1764000000000 } from "../src/storage/initial-migration.ts";
import { maintainPartitions, usageTables } from "../src/storage/partitions.ts";
import { Quarantine1764520000000 } from "../src/storage/quarantine-migration.ts";
import { Reports1764500000000 } from "../src/storage/reports-migration.ts";
import { UsageAccounts1764530000000 } from "../src/storage/usage-accounts-migration.ts";
import { UsagePartitions1764510000000 } from "../src/storage/usage-partitions-migration.ts";
import { IdentityLog, startMetering, type TestKey, type TestMetering } from "./fixture.ts";
import { Holder } from "./holder.ts";

const timeoutMs = 5000;
const DAY_MS = 86_400_000;
const KEPT = { minutesKeptMs: 35 * DAY_MS, quartersKeptMs: 1830 * DAY_MS };
const identity = new IdentityLog();
let postgres: TestPostgres;
let metering: TestMetering;
let database: DataSource;
let root: TestKey;

beforeAll(async () => {
  root = identity.key(identity.root);
  postgres = await startTestPostgres();
  metering = await startMetering(postgres.url, identity);
  database = await openDatabase({ url: postgres.url, schema: "metering", entities: [], migrations: [] });
});

afterAll(async () => {
  await database?.destroy();
  await metering?.stop();
  await postgres?.stop();
});

beforeEach(() => {
  metering.time.offsetMs = 0;
});

let made = 0;
function organization(): AccountNode {
  return identity.account(identity.root, `org-${++made}`);
}

/** The partitions made and dropped when metering's loop, or another, runs so many days from now. */
function maintain(inDays = 0, kept = KEPT) {
  metering.time.offsetMs = inDays * DAY_MS;
  return maintainPartitions(database, usageTables(kept), () => inDays * DAY_MS);
}

function ship(account: AccountNode, atMs: number, units: number) {
  const series = { keyId: "key_any", meter: "requests", resource: "", outcome: "VALID" };
  const minute = BigInt(Math.floor(atMs / 60_000));
  const row = { ...series, minute, accountId: account.id, units: BigInt(units) };
  return new Holder(metering, `partitions-${++made}`).ship(undefined, [row]);
}

async function query(account: AccountNode, startMs: number, endMs: number, granularity?: Granularity) {
  const [start, end] = [timestampFromMs(startMs), timestampFromMs(endMs)];
  const node = { case: "account", value: account.id } as const;
  const request = { node, start, end, ...(granularity && { granularity }) };
  const { rows } = await metering.usage(root).queryUsage(request, { timeoutMs });
  return rows.map((row) => [timestampMs(row.start!), Number(row.units)]);
}

async function partitionsOf(table: string): Promise<string[]> {
  const rows = await metering.query<{ part: string }>(
    "SELECT inhrelid::regclass::text AS part FROM pg_inherits WHERE inhparent = $1::regclass ORDER BY 1",
    [table],
  );
  return rows.map(({ part }) => part);
}

async function rowsIn(table: string): Promise<number> {
  const [row] = await metering.query<{ count: string }>(`SELECT count(*) FROM ${table}`, []);
  return Number(row!.count);
}

function dayName(inDays: number): string {
  return new Date(Date.now() + inDays * DAY_MS).toISOString().slice(0, 10).replaceAll("-", "");
}

// Time goes on from test to test: what was dropped is gone for those after it.

test("the migrations keep every row, and add up what accounts used", async () => {
  const before = [Initial1764000000000, Reports1764500000000];
  const after = [
    ...before,
    UsagePartitions1764510000000,
    Quarantine1764520000000,
    UsageAccounts1764530000000,
  ];
  const options = { url: postgres.url, schema: "older", entities: [] };
  const older = await openDatabase({ ...options, migrations: before });
  for (const table of ["usage_minute", "usage_quarter"]) {
    await older.query(
      `INSERT INTO ${table} SELECT now() + d * interval '1 day' + m * interval '15 minutes', 'acc_' || m % 3, 'key', 'requests',
         '', CASE WHEN m % 7 = 0 THEN 'SCOPE_DENIED' ELSE 'VALID' END, m
       FROM unnest('{-400, -1, 0, 5}'::int[]) AS d, generate_series(1, 90) AS m`,
    );
  }
  const sums = "SELECT count(*), sum(units), min(start), max(start) FROM";
  const had = [await older.query(`${sums} usage_minute`), await older.query(`${sums} usage_quarter`)];
  const used = await older.query(
    `SELECT account_id, sum(units) AS units FROM usage_quarter WHERE outcome = 'VALID' GROUP BY 1 ORDER BY 1`,
  );
  await older.destroy();
  const newer = await openDatabase({ ...options, migrations: after });
  try {
    expect([await newer.query(`${sums} usage_minute`), await newer.query(`${sums} usage_quarter`)]).toEqual(
      had,
    );
    const added =
      "SELECT account_id, sum(q0 + q1 + q2 + q3) AS units FROM usage_account GROUP BY 1 ORDER BY 1";
    expect(await newer.query(added)).toEqual(used);
    const { made } = await maintainPartitions(newer, usageTables(KEPT), () => 0);
    expect(made).toContain(`usage_minute_${dayName(5)}`);
    const [there] = await newer.query(`SELECT count(*)::int FROM usage_minute_${dayName(5)}`);
    expect(there.count).toBeGreaterThan(0);
  } finally {
    await newer.destroy();
  }
});

test("partitions are made days ahead, by one of several replicas, and then there is nothing to do", async () => {
  const ahead = () =>
    partitionsOf("usage_minute").then((parts) => parts.includes(`usage_minute_${dayName(7)}`));
  // The loop of metering itself.
  await expect.poll(ahead, { timeout: 5000 }).toBe(true);
  const [one, other] = await Promise.all([maintain(3), maintain(3)]);
  const days = [8, 9, 10].flatMap((day) => [
    `usage_minute_${dayName(day)}`,
    `reported_event_${dayName(day)}`,
  ]);
  const last = await maintain(3);
  const all = [...one.made, ...other.made, ...last.made];
  expect(new Set(all).size).toBe(all.length);
  expect(all).toEqual(expect.arrayContaining(days));
  expect(await maintain(3)).toEqual({ made: [], dropped: [] });
});

test("pages of what is updated are not filled, in every partition of it", async () => {
  await maintain(3);
  const rows = await metering.query<{ name: string; fill: string | null; parts: number }>(
    `SELECT t.relname AS name, p.reloptions::text AS fill, count(*)::int AS parts
     FROM pg_inherits i JOIN pg_class t ON t.oid = i.inhparent JOIN pg_class p ON p.oid = i.inhrelid
     WHERE t.relkind = 'p' AND t.relnamespace = 'metering'::regnamespace GROUP BY 1, 2 ORDER BY 1`,
    [],
  );
  expect(rows).toMatchObject([
    // Of events nothing is updated; the one for the rest has no setting.
    { name: "reported_event", fill: "{fillfactor=100}" },
    { name: "reported_event", fill: null, parts: 1 },
    { name: "usage_account", fill: "{fillfactor=75}" },
    { name: "usage_minute", fill: "{fillfactor=75}" },
    { name: "usage_quarter", fill: "{fillfactor=75}" },
  ]);
});

test("what was written before its partition was made moves into it", async () => {
  const account = organization();
  const atMs = Date.now() + 100 * DAY_MS;
  await ship(account, atMs, 5);
  expect(await rowsIn("usage_minute_default")).toBe(1);
  await maintain(99);
  expect(await rowsIn("usage_minute_default")).toBe(0);
  expect(await rowsIn(`usage_minute_${dayName(100)}`)).toBe(1);
  expect(await query(account, atMs, atMs + 60_000)).toEqual([[Math.floor(atMs / 60_000) * 60_000, 5]]);
});

test("minutes are dropped after their time, quarters stay, and what comes late counts in its quarter", async () => {
  const account = organization();
  const startMs = (Math.floor(Date.now() / DAY_MS) + 201) * DAY_MS;
  await maintain(200);
  const atMs = startMs + 607 * 60_000;
  await ship(account, atMs, 3);
  await maintain(230);
  expect(await query(account, atMs, atMs + 60_000, Granularity.MINUTE)).toEqual([[atMs, 3]]);
  const { dropped } = await maintain(237);
  expect(dropped).toContain(`usage_minute_${dayName(201)}`);

  await expect(query(account, atMs, atMs + 60_000, Granularity.MINUTE)).rejects.toMatchObject({
    code: "INVALID_ARGUMENT",
    violations: [{ field: "start", description: expect.stringMatching(/is kept since .*; ask by hour/) }],
  });
  // Ends within a quarter are rounded to it.
  const quarterMs = startMs + 600 * 60_000;
  expect(await query(account, atMs, atMs + 60_000)).toEqual([[quarterMs, 3]]);
  await ship(account, atMs + 60_000, 4);
  expect(await query(account, atMs, atMs + 60_000)).toEqual([[quarterMs, 7]]);
  expect(await query(account, startMs, startMs + DAY_MS, Granularity.HOUR)).toEqual([[quarterMs, 7]]);
  // Also what comes so late that its quarters were dropped.
  const [longAgo] = [Date.UTC(2019, 0, 1)];
  await maintain(2000);
  await ship(account, longAgo, 8);
  expect(await query(account, longAgo, longAgo + DAY_MS)).toEqual([[longAgo, 8]]);
  const old = await metering.query("SELECT FROM usage_minute WHERE start < $1", [new Date(startMs + DAY_MS)]);
  expect(old).toEqual([]);
});

test("events are known again for as long as they are taken, and forgotten with their day", async () => {
  const account = organization();
  const inDays = 2100;
  await maintain(inDays);
  const atMs = Date.now() + inDays * DAY_MS;
  const send = async () => {
    const node = { case: "account", value: account.id } as const;
    const event = { id: "x", node, meter: "requests", units: 1n, time: timestampFromMs(atMs) };
    const answer = await metering.usage(root).reportUsage({ source: "days", events: [event] }, { timeoutMs });
    return [answer.booked, answer.duplicates, answer.errors.map(({ reason }) => ErrorReason[reason])];
  };
  expect(await send()).toEqual([1, 0, []]);
  const day = `reported_event_${dayName(inDays)}`;
  expect(await rowsIn(day)).toBe(1);
  await maintain(inDays + 34.9);
  expect(await send()).toEqual([0, 1, []]);
  // It is taken no more a day before it is forgotten.
  metering.time.offsetMs = (inDays + 35.1) * DAY_MS;
  expect(await send()).toEqual([0, 0, ["INVALID_FIELD"]]);
  expect((await maintain(inDays + 35.1)).dropped).not.toContain(day);
  expect((await maintain(inDays + 37.1)).dropped).toContain(day);
});

test("an event that was forgotten is not booked again when events are taken from longer ago than before", async () => {
  const account = organization();
  const inDays = 2500;
  await maintain(inDays);
  const send = async (atMs: number) => {
    const node = { case: "account", value: account.id } as const;
    const event = { id: "x", node, meter: "requests", units: 1n, time: timestampFromMs(atMs) };
    const answer = await metering
      .usage(root)
      .reportUsage({ source: "longer", events: [event] }, { timeoutMs });
    return [answer.booked, answer.duplicates, answer.errors.map(({ field }) => field)];
  };
  const atMs = Date.now() + inDays * DAY_MS;
  expect(await send(atMs)).toEqual([1, 0, []]);
  // By replicas that keep them for a day; the one that is asked keeps them for 35.
  const { dropped } = await maintain(inDays + 3.1, { ...KEPT, minutesKeptMs: DAY_MS });
  expect(dropped).toContain(`reported_event_${dayName(inDays)}`);
  expect(await send(atMs)).toEqual([0, 0, ["time"]]);
  expect(await send(atMs + 2 * DAY_MS)).toEqual([1, 0, []]);
});

test("a partition that somebody reads is dropped another time, and nobody waits for that", async () => {
  const inDays = 3000;
  await maintain(inDays);
  const runner = database.createQueryRunner();
  await runner.query("BEGIN");
  await runner.query("SELECT FROM usage_minute LIMIT 1");
  const beganMs = performance.now();
  await expect(maintain(inDays + 40)).rejects.toMatchObject({ driverError: { code: "55P03" } });
  expect(performance.now() - beganMs).toBeLessThan(1000);
  // Nor for those of other tables that are to be made.
  const [{ part }] = await database.query("SELECT to_regclass($1) AS part", [
    `reported_event_${dayName(inDays + 40)}`,
  ]);
  expect(part).not.toBeNull();
  await runner.query("COMMIT");
  await runner.release();
  expect((await maintain(inDays + 40)).dropped).toContain(`usage_minute_${dayName(inDays)}`);
});
