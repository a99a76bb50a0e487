import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { openDatabase } from "@gatehouse/changefeed";
import { Granularity, GroupBy, type MinuteUsageSchema, type UsageRow } from "@gatehouse/proto/metering";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import { UsageCosts1764650000000 } from "../src/storage/usage-costs-migration.ts";
import { IdentityLog, startMetering, type TestKey, type TestMetering } from "./fixture.ts";
import { Holder } from "./holder.ts";

const timeoutMs = 5000;
/** A quarter past an hour, lately. */
const NOW_MS = Math.floor(Date.now() / 3_600_000) * 3_600_000 - 2_700_000;
const identity = new IdentityLog();
let postgres: TestPostgres;
let metering: TestMetering;
let root: TestKey;

beforeAll(async () => {
  root = identity.key(identity.root);
  identity.meter("tokens");
  postgres = await startTestPostgres();
  metering = await startMetering(postgres.url, identity);
});

afterAll(async () => {
  await metering?.stop();
  await postgres?.stop();
});

type Usage = MessageInitShape<typeof MinuteUsageSchema>;
let made = 0;

async function organization() {
  const account = identity.account(identity.root, `org-${++made}`);
  const child = identity.account(account, "child");
  await metering.follower.prove();
  const holder = new Holder(metering, `h-${made}`);
  const book = (...rows: Usage[]) => {
    const usage = rows.map((row) => ({ meter: "requests", outcome: "VALID", accountId: account.id, ...row }));
    return holder.ship(undefined, usage);
  };
  const query = async (request: object) => {
    const node = { case: "account" as const, value: account.id };
    const { rows } = await metering
      .usage(root)
      .queryUsage(
        { node, descendants: true, start: timestampFromMs(NOW_MS - 7_200_000), ...request },
        { timeoutMs },
      );
    return rows;
  };
  return { account, child, book, query };
}

const minute = (offset: number) => BigInt(NOW_MS / 60_000 + offset);
const shown = (rows: UsageRow[]) =>
  rows.map(({ meter, currency, units, cost }) => [meter, currency, units, cost]);

test("costs are summed with their units, each currency by itself, and free units apart", async () => {
  const { book, query } = await organization();
  const usd = { priceId: "prc_1", currency: "USD" };
  await book(
    { minute: minute(0), units: 5n, cost: 50n, ...usd },
    { minute: minute(0), units: 2n, cost: 30n, ...usd, priceId: "prc_2" },
    { minute: minute(0), units: 4n },
    { minute: minute(1), units: 1n, cost: 7n, priceId: "prc_3", currency: "credits" },
    { minute: minute(1), units: 100n, meter: "tokens", cost: 15n, ...usd },
  );
  await book({ minute: minute(0), units: 1n, cost: 10n, ...usd });
  const expected = [
    ["requests", "", 4n, 0n],
    ["requests", "USD", 8n, 90n],
    ["requests", "credits", 1n, 7n],
    ["tokens", "USD", 100n, 15n],
  ];
  // From the sums of accounts, from quarters, and from minutes.
  expect(shown(await query({}))).toEqual(expected);
  expect(shown(await query({ groupBy: [GroupBy.KEY] }))).toEqual(expected);
  const byMinute = await query({ granularity: Granularity.MINUTE });
  expect(byMinute.reduce((sum, { cost }) => sum + cost, 0n)).toBe(112n);
});

test("parent = own + Σ children of costs, in every zone, and pages lose no row", async () => {
  const { account, child, book, query } = await organization();
  const rows: Usage[] = [];
  for (let i = 0; i < 120; i += 7) {
    for (const accountId of [account.id, child.id]) {
      for (const currency of ["", "USD", "credits"]) {
        const cost = currency === "" ? 0n : BigInt(i * 3 + 1);
        rows.push({ minute: minute(-i), accountId, units: 1n, cost, currency, priceId: currency && "prc_1" });
      }
    }
  }
  await book(...rows);
  const total = rows.reduce((sum, { cost = 0n }) => sum + cost, 0n);
  const sum = (of: UsageRow[]) => of.reduce((all, { cost }) => all + cost, 0n);
  for (const timeZone of ["", "Asia/Kolkata", "America/Los_Angeles"]) {
    for (const granularity of [Granularity.HOUR, Granularity.DAY]) {
      const whole = await query({ timeZone, granularity });
      const own = await query({ timeZone, granularity, descendants: false });
      const of = { node: { case: "account" as const, value: child.id } };
      expect(sum(whole)).toBe(total);
      expect(sum(own) + sum(await query({ timeZone, granularity, ...of }))).toBe(total);
    }
  }
  const request = { groupBy: [GroupBy.ACCOUNT], granularity: Granularity.HOUR, pageSize: 2 };
  const node = { case: "account" as const, value: account.id };
  const paged: UsageRow[] = [];
  const [start, end] = [timestampFromMs(NOW_MS - 7_200_000), timestampFromMs(NOW_MS + 3_600_000)];
  for (let pageToken = ""; ; ) {
    const all = { node, descendants: true, start, end, ...request, pageToken };
    const page = await metering.usage(root).queryUsage(all, { timeoutMs });
    paged.push(...page.rows);
    pageToken = page.nextPageToken;
    if (pageToken === "") break;
  }
  expect(sum(paged)).toBe(total);
  expect(
    new Set(paged.map(({ start, accountId, currency }) => `${start?.seconds} ${accountId} ${currency}`)).size,
  ).toBe(paged.length);
});

test("costs wait in quarantine with their units", async () => {
  const { book, query, account } = await organization();
  const late = identity.accountAs("acc_000000000000000late1", undefined, "never-told");
  identity.changesMade.pop();
  await book({
    accountId: late.id,
    minute: minute(0),
    units: 3n,
    cost: 9n,
    priceId: "prc_1",
    currency: "USD",
  });
  expect(await query({})).toEqual([]);
  identity.accountAs(late.id, account, "told");
  await metering.follower.prove();
  await expect
    .poll(async () => shown(await query({})), { timeout: timeoutMs })
    .toEqual([["requests", "USD", 3n, 9n]]);
});

test("a cost without a currency, or below nothing, is refused", async () => {
  const { book } = await organization();
  for (const bad of [{ cost: 1n }, { cost: -1n, currency: "USD" }, { cost: 1n, currency: "U S D" }]) {
    await expect(book({ minute: minute(0), units: 1n, ...bad })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      violations: [{ field: "payload.usage[0]" }],
    });
  }
});

test("the migration keeps every unit, there and back, and what is booked afterwards is added up", async () => {
  const { account, book, query } = await organization();
  const usd = { priceId: "prc_1", currency: "USD" };
  await book({ minute: minute(0), units: 5n, cost: 50n, ...usd }, { minute: minute(0), units: 4n });
  const sums = ["usage_minute", "usage_quarter"].map((table) => `SELECT sum(units) AS units FROM ${table}`);
  const byAccount = `SELECT sum(q0 + q1 + q2 + q3) AS units FROM usage_account WHERE account_id = '${account.id}'`;
  const read = () => Promise.all([...sums, byAccount].map((text) => metering.query(text, [])));
  const before = await read();
  const database = await openDatabase({
    ...{ url: postgres.url, schema: "metering", entities: [], migrations: [], poolSize: 1 },
  });
  try {
    const runner = database.createQueryRunner();
    for (const step of ["down", "up"] as const) {
      await runner.startTransaction();
      await new UsageCosts1764650000000()[step](runner);
      await runner.commitTransaction();
      expect(await read()).toEqual(before);
    }
    await runner.release();
  } finally {
    await database.destroy();
  }
  await book({ minute: minute(0), units: 1n, cost: 10n, ...usd });
  expect(shown(await query({}))).toEqual([
    ["requests", "", 9n, 0n],
    ["requests", "USD", 1n, 10n],
  ]);
});
