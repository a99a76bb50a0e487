import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { AccountNode } from "@gatehouse/access";
import { openDatabase } from "@gatehouse/changefeed";
import { Granularity, GroupBy } from "@gatehouse/proto/metering";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import { PostgresUsageStore } from "../src/storage/usage-store.ts";
import { IdentityLog, startMetering, type TestKey, type TestMetering } from "./fixture.ts";
import { Holder } from "./holder.ts";

const timeoutMs = 5000;
const identity = new IdentityLog();
let postgres: TestPostgres;
let metering: TestMetering;
let root: TestKey;
let large: AccountNode;

/** A million rows by key and hour, 75 MB as CSV. */
const KEYS = 2000;
const HOURS = 500;
const START = Date.parse("2026-11-01T00:00:00Z");
const HOUR_MS = 3_600_000;

beforeAll(async () => {
  root = identity.key(identity.root);
  postgres = await startTestPostgres();
  metering = await startMetering(postgres.url, identity);
  large = identity.account(identity.root, "large");
  await metering.follower.prove();
  await metering.query(
    `INSERT INTO usage_quarter (start, account_id, key_id, meter, resource, outcome, units)
     SELECT to_timestamp($2::float8 / 1000) + h * interval '1 hour', $1, 'key_' || lpad(k::text, 20, '0'), 'requests', '',
       'VALID', h + 1
     FROM generate_series(0, $3::int - 1) AS h, generate_series(1, $4::int) AS k`,
    [large.id, START, HOURS, KEYS],
  );
}, 120_000);

afterAll(async () => {
  await metering?.stop();
  await postgres?.stop();
});

const whole = () => ({
  node: { case: "account", value: large.id } as const,
  groupBy: [GroupBy.KEY],
  granularity: Granularity.HOUR,
  start: timestampFromMs(START),
  end: timestampFromMs(START + HOURS * HOUR_MS),
});

async function text(parts: AsyncIterable<{ csv: string }>): Promise<string> {
  let all = "";
  for await (const { csv } of parts) all += csv;
  return all;
}

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** What is in use once what is not has been collected. */
function liveBytes(): number {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** The messages of a stream over Connect: each has five bytes before it, flags and length. */
async function* framesOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let bytes = Buffer.alloc(0);
  for await (const part of body) {
    bytes = Buffer.concat([bytes, part]);
    for (let end = lengthOf(bytes); bytes.length >= end; end = lengthOf(bytes)) {
      yield bytes.toString("utf8", 5, end);
      bytes = bytes.subarray(end);
    }
  }
}

function lengthOf(bytes: Buffer): number {
  return bytes.length < 5 ? Number.POSITIVE_INFINITY : 5 + bytes.readUInt32BE(1);
}

/** What the database does for an export. */
async function exporting(): Promise<{ waits: boolean; idle_ms: number }[]> {
  return metering.query(
    `SELECT state = 'idle in transaction' AS waits,
       extract(epoch FROM clock_timestamp() - state_change)::float8 * 1000 AS idle_ms
     FROM pg_stat_activity WHERE query LIKE 'FETCH%usage%' AND state <> 'idle'`,
    [],
  );
}

test("lines are by RFC 4180, with times of the zone, and end in CR LF", async () => {
  const account = identity.account(identity.root, "lines");
  const series = { accountId: account.id, keyId: "key_any", meter: "requests", outcome: "VALID" };
  const minute = BigInt(Date.parse("2026-03-28T22:59:00Z") / 60_000);
  await new Holder(metering, "lines").ship(undefined, [
    { ...series, minute, resource: 'a "b", c\r\nd', units: 7n },
    { ...series, minute: minute + 1n, resource: "plain", units: 8n },
  ]);
  const request = {
    node: { case: "account", value: account.id } as const,
    start: timestampFromMs(Date.parse("2026-03-01T00:00:00Z")),
    end: timestampFromMs(Date.parse("2026-04-01T00:00:00Z")),
  };
  const header = "start,account_id,key_id,meter,resource,outcome,units,cost,currency\r\n";
  const usage = metering.usage(root);
  const grouped = { ...request, groupBy: [GroupBy.ACCOUNT, GroupBy.RESOURCE] };
  const days = { ...grouped, granularity: Granularity.DAY, timeZone: "Asia/Kolkata" };
  expect(await text(usage.exportUsage(days, { timeoutMs }))).toBe(
    `${header}2026-03-29T00:00:00+05:30,${account.id},,requests,"a ""b"", c\r\nd",,7,0,\r\n` +
      `2026-03-29T00:00:00+05:30,${account.id},,requests,plain,,8,0,\r\n`,
  );
  expect(await text(usage.exportUsage({ ...days, timeZone: "" }, { timeoutMs }))).toContain(
    `2026-03-28T00:00:00Z,${account.id},,requests,plain,,`,
  );
  expect(await text(usage.exportUsage(request, { timeoutMs }))).toBe(
    `${header}2026-03-01T00:00:00Z,,,requests,,,15,0,\r\n`,
  );
  const none = { ...request, meter: "requests", end: timestampFromMs(Date.parse("2026-03-02T00:00:00Z")) };
  expect(await text(usage.exportUsage(none, { timeoutMs }))).toBe(header);
});

test("the rows are those of QueryUsage, in its order, however long the time", async () => {
  const account = identity.account(identity.root, "same");
  const start = Date.parse("2025-10-30T00:00:00Z");
  const rows = Array.from({ length: 200 }, (_, i) => ({
    accountId: account.id,
    keyId: `key_${i % 3}`,
    meter: "requests",
    resource: `r.${i % 2}`,
    outcome: "VALID",
    minute: BigInt(start / 60_000 + ((i * 7919) % (60 * 1440))),
    units: BigInt(i),
  }));
  await new Holder(metering, "same").ship(undefined, rows);
  for (const granularity of [Granularity.MINUTE, Granularity.HOUR, Granularity.DAY, Granularity.MONTH, 0]) {
    const request = {
      node: { case: "account", value: account.id } as const,
      groupBy: [GroupBy.KEY, GroupBy.RESOURCE],
      granularity,
      timeZone: "America/Los_Angeles",
      start: timestampFromMs(start + 7 * 60_000),
      end: timestampFromMs(start + 59 * 24 * HOUR_MS),
    };
    const page = await metering.usage(root).queryUsage({ ...request, pageSize: 10_000 }, { timeoutMs });
    const lines = (await text(metering.usage(root).exportUsage(request, { timeoutMs }))).split("\r\n");
    expect(lines.slice(1, -1).map((line) => line.split(",").slice(2).join())).toEqual(
      page.rows.map(({ keyId, meter, resource, units }) => `${keyId},${meter},${resource},,${units},0,`),
    );
  }
});

test("a million rows pass through a bounded memory, over gRPC", async () => {
  let lines = 0;
  let parts = 0;
  let most = 0;
  const before = liveBytes();
  for await (const { csv } of metering.usage(root).exportUsage(whole(), { timeoutMs: 100_000 })) {
    lines += csv.split("\r\n").length - 1;
    if (++parts % 100 === 0) most = Math.max(most, liveBytes() - before);
  }
  expect(lines).toBe(1 + KEYS * HOURS);
  // Of the client and the service together. The file has 75 MB, and its rows in memory several times as much.
  expect(most / 2 ** 20).toBeLessThan(20);
}, 120_000);

test("a million rows come over Connect, too", async () => {
  const body = JSON.stringify({
    account: large.id,
    groupBy: ["GROUP_BY_KEY"],
    granularity: "GRANULARITY_HOUR",
    start: new Date(START),
    end: new Date(START + HOURS * HOUR_MS),
  });
  const framed = Buffer.concat([Buffer.alloc(5), Buffer.from(body)]);
  framed.writeUInt32BE(body.length, 1);
  const response = await fetch(
    `http://${metering.httpAddress}/gatehouse.metering.v1.UsageService/ExportUsage`,
    {
      method: "POST",
      headers: { "x-api-key": root.presented, "content-type": "application/connect+json" },
      body: framed,
    },
  );
  expect(response.status).toBe(200);
  let lines = 0;
  let last = "";
  for await (const message of framesOf(response.body!)) {
    lines += (JSON.parse(message) as { csv?: string }).csv?.split("\r\n").length ?? 1;
    lines -= 1;
    last = message;
  }
  expect(lines).toBe(1 + KEYS * HOURS);
  // How it ended: well.
  expect(last).toBe("{}");
}, 120_000);

test("rows are read no faster than they are taken, and no more once nobody takes any", async () => {
  const parts = metering.usage(root).exportUsage(whole(), { timeoutMs: 100_000 })[Symbol.asyncIterator]();
  await parts.next();
  const waits = async () => (await exporting()).some(({ waits, idle_ms }) => waits && idle_ms > 300);
  await expect.poll(waits, { timeout: 10_000 }).toBe(true);
  let lines = 0;
  for (let i = 0; i < 100; i++) lines += (await parts.next()).value!.csv.split("\r\n").length - 1;
  expect(lines).toBeGreaterThan(10_000);
  await parts.return?.();
  await expect.poll(exporting, { timeout: 10_000 }).toEqual([]);
}, 60_000);

test("a deadline ends it, in the database as well", async () => {
  const asked = text(metering.usage(root).exportUsage(whole(), { timeoutMs: 300 }));
  await expect(asked).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
  await expect.poll(exporting, { timeout: 10_000 }).toEqual([]);
});

test("a key that is revoked reads no further", async () => {
  const key = identity.key(large);
  const parts = metering
    .usage(key)
    .exportUsage({ ...whole(), node: { case: undefined } }, { timeoutMs: 100_000 })
    [Symbol.asyncIterator]();
  await parts.next();
  identity.revoke(key);
  await metering.follower.prove();
  const rest = (async () => {
    while (!(await parts.next()).done);
  })();
  await expect(rest).rejects.toMatchObject({ code: "UNAUTHENTICATED", reason: "CREDENTIAL_INVALID" });
}, 60_000);

test("as many exports as a replica takes, and each that is not read ends by itself", async () => {
  const database = await openDatabase({
    url: postgres.url,
    schema: "metering",
    entities: [],
    migrations: [],
  });
  try {
    const store = new PostgresUsageStore(database, { streamIdleMs: 200 });
    const scope = { kind: "ACCOUNT", id: large.id, descendants: false, reader: undefined } as const;
    const query = {
      groups: ["KEY"] as const,
      granularity: "HOUR" as const,
      timeZone: "UTC",
      startMs: START,
      endMs: START + 24 * HOUR_MS,
      meter: undefined,
      pageSize: 1,
      after: undefined,
    };
    const streams = Array.from({ length: 5 }, (_, i) => store.stream(`acc_${i}`, scope, [query]));
    const firsts = await Promise.allSettled(streams.map((stream) => stream.next()));
    expect(firsts.map(({ status }) => status).sort()).toEqual([...Array(4).fill("fulfilled"), "rejected"]);
    expect(firsts.find(({ status }) => status === "rejected")).toMatchObject({
      reason: { code: "RESOURCE_EXHAUSTED", reason: "OVERLOADED" },
    });
    await expect.poll(exporting, { timeout: 10_000 }).toEqual([]);
    const begun = streams.filter((_, i) => firsts[i]!.status === "fulfilled");
    for (const stream of begun) {
      await expect(stream.next()).rejects.toMatchObject({ code: "UNAVAILABLE" });
    }
    const again = store.stream("acc_1", scope, [query]);
    expect((await again.next()).value).toHaveLength(1000);
    await again.return(undefined);
  } finally {
    await database.destroy();
  }
});

test("an organization has one export at a time, whatever its keys, and keeps nobody else from one", async () => {
  const begin = (key: TestKey, node: object = { case: undefined }) =>
    metering
      .usage(key)
      .exportUsage({ ...whole(), ...{ node } } as ReturnType<typeof whole>, { timeoutMs: 100_000 })
      [Symbol.asyncIterator]();
  const team = identity.account(large, "team");
  const one = begin(identity.key(large));
  expect((await one.next()).value!.csv).toMatch(/^start,/);
  await expect(begin(identity.key(team)).next()).rejects.toMatchObject({
    code: "RESOURCE_EXHAUSTED",
    reason: "OVERLOADED",
    message: "an export of the organization is under way already",
  });
  const others = begin(root, whole().node);
  expect((await others.next()).value!.csv).toMatch(/^start,/);
  await others.return?.();
  await one.return?.();
  await expect.poll(exporting, { timeout: 10_000 }).toEqual([]);
  expect((await begin(identity.key(team)).next()).value!.csv).toMatch(/^start,/);
}, 60_000);

test("an export that takes too long ends, though it is read", async () => {
  const options = { url: postgres.url, schema: "metering", entities: [], migrations: [] };
  const database = await openDatabase(options);
  try {
    const store = new PostgresUsageStore(database, { streamMs: 100 });
    const scope = { kind: "ACCOUNT", id: large.id, descendants: false, reader: undefined } as const;
    const query = {
      groups: ["KEY"] as const,
      granularity: "HOUR" as const,
      timeZone: "UTC",
      startMs: START,
      endMs: START + HOURS * HOUR_MS,
      meter: undefined,
      pageSize: 1,
      after: undefined,
    };
    const read = async () => {
      for await (const rows of store.stream("acc_1", scope, [query])) expect(rows).not.toEqual([]);
    };
    await expect(read()).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED", reason: "OVERLOADED" });
    await expect.poll(exporting, { timeout: 10_000 }).toEqual([]);
  } finally {
    await database.destroy();
  }
});
