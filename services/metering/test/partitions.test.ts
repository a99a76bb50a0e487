import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { AccountNode } from "@gatehouse/access";
import { openDatabase } from "@gatehouse/changefeed";
import { ErrorReason } from "@gatehouse/proto/common";
import { Granularity } from "@gatehouse/proto/metering";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import type { DataSource } from "typeorm";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { maintainPartitions, usageTables } from "../src/storage/partitions.ts";
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

test("the migration keeps every row, there and back", async () => {
  const account = organization();
  const nowMs = Math.floor(Date.now() / 60_000) * 60_000;
  for (const [i, days] of [-400, -1, 0, 5].entries()) await ship(account, nowMs + days * DAY_MS, 10 ** i);
  const rows = (table: string) =>
    metering.query(`SELECT * FROM ${table} WHERE account_id = $1 ORDER BY start`, [account.id]);
  const before = [await rows("usage_minute"), await rows("usage_quarter")];
  const migration = new UsagePartitions1764510000000();
  const runner = database.createQueryRunner();
  for (const step of ["down", "up"] as const) {
    await runner.startTransaction();
    await migration[step](runner);
    await runner.commitTransaction();
    expect([await rows("usage_minute"), await rows("usage_quarter")]).toEqual(before);
  }
  await runner.release();
  expect(await partitionsOf("usage_minute")).toEqual([
    `usage_minute_before_${dayName(1)}`,
    "usage_minute_default",
  ]);
  await maintain(0);
  await ship(account, nowMs, 7);
  expect(await query(account, nowMs, nowMs + 60_000, Granularity.MINUTE)).toEqual([[nowMs, 107]]);
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

test("a partition that somebody reads is dropped another time, and nobody waits for that", async () => {
  const inDays = 3000;
  await maintain(inDays);
  const runner = database.createQueryRunner();
  await runner.query("BEGIN");
  await runner.query("SELECT FROM usage_minute LIMIT 1");
  const beganMs = performance.now();
  await expect(maintain(inDays + 40)).rejects.toMatchObject({ driverError: { code: "55P03" } });
  expect(performance.now() - beganMs).toBeLessThan(1000);
  await runner.query("COMMIT");
  await runner.release();
  expect((await maintain(inDays + 40)).dropped).toContain(`usage_minute_${dayName(inDays)}`);
});
