import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { AccountNode } from "@gatehouse/access";
import { Granularity, GroupBy } from "@gatehouse/proto/metering";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { IdentityLog, startMetering, type TestKey, type TestMetering } from "./fixture.ts";
import { Holder } from "./holder.ts";

const timeoutMs = 5000;
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

let made = 0;
function row(account: AccountNode, at: string, units: number, more: object = {}) {
  const minute = BigInt(Date.parse(at) / 60_000);
  const common = { keyId: "key_any", meter: "requests", resource: "", outcome: "VALID" };
  return { ...common, minute, accountId: account.id, units: BigInt(units), ...more };
}

function organization(): AccountNode {
  return identity.account(identity.root, `org-${++made}`);
}

async function query(account: AccountNode, more: object) {
  const { rows } = await metering
    .usage(root)
    .queryUsage({ node: { case: "account", value: account.id }, ...more }, { timeoutMs });
  return rows.map(({ start, units }) => [new Date(timestampMs(start!)).toISOString(), Number(units)]);
}

const between = (start: string, end: string) => ({
  start: timestampFromMs(Date.parse(start)),
  end: timestampFromMs(Date.parse(end)),
});

test("days and hours are the zone's own, half-hour zones and changes of the clock included", async () => {
  const account = organization();
  const spool = new Holder(metering, "zones");
  await spool.ship(undefined, [
    row(account, "2026-03-28T22:59:00Z", 1), // Berlin: 28 March 23:59
    row(account, "2026-03-28T23:00:00Z", 2), // Berlin: 29 March, 23 h long
    row(account, "2026-03-29T21:59:00Z", 4), // Berlin: 29 March 23:59 in summer time
    row(account, "2026-03-29T22:00:00Z", 8), // Berlin: 30 March
  ]);
  const time = between("2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z");
  const granularity = Granularity.DAY;
  expect(await query(account, { ...time, granularity, timeZone: "Europe/Berlin" })).toEqual([
    ["2026-03-27T23:00:00.000Z", 1],
    ["2026-03-28T23:00:00.000Z", 6],
    ["2026-03-29T22:00:00.000Z", 8],
  ]);
  expect(await query(account, { ...time, granularity, timeZone: "Asia/Kolkata" })).toEqual([
    ["2026-03-28T18:30:00.000Z", 3],
    ["2026-03-29T18:30:00.000Z", 12],
  ]);
  expect(await query(account, { ...time, granularity: Granularity.MONTH })).toEqual([
    ["2026-03-01T00:00:00.000Z", 15],
  ]);
  expect(await query(account, time)).toEqual([["2026-03-28T00:00:00.000Z", 15]]);
  // Ends that are no quarter of an hour.
  expect(await query(account, between("2026-03-28T22:59:00Z", "2026-03-29T21:59:00Z"))).toEqual([
    ["2026-03-28T22:59:00.000Z", 3],
  ]);
  expect(await query(account, { ...time, granularity: Granularity.MINUTE })).toHaveLength(4);
});

test("without times it is the last 24 hours from a full hour on, and without a node the caller's own account", async () => {
  const account = organization();
  metering.time.offsetMs = Date.parse("2027-06-02T00:01:30Z") - Date.now();
  try {
    await new Holder(metering, "today").ship(undefined, [
      row(account, "2027-05-31T23:59:00Z", 1),
      row(account, "2027-06-01T00:00:00Z", 2),
      row(account, "2027-06-01T00:29:00Z", 4),
      row(account, "2027-06-01T00:30:00Z", 8),
      row(account, "2027-06-02T00:01:00Z", 16),
    ]);
    const own = await metering.usage(identity.key(account)).queryUsage({}, { timeoutMs });
    expect(own.rows).toMatchObject([{ meter: "requests", units: 30n, accountId: "", outcome: "" }]);
    expect(await query(account, {})).toEqual([["2027-06-01T00:00:00.000Z", 30]]);
    // Hours of a half-hour zone.
    expect(await query(account, { timeZone: "Asia/Kolkata" })).toEqual([["2027-05-31T23:30:00.000Z", 31]]);
    const end = timestampFromMs(Date.parse("2027-06-02T00:30:00Z"));
    expect(await query(account, { timeZone: "Asia/Kolkata", end })).toEqual([
      ["2027-06-01T00:30:00.000Z", 24],
    ]);
  } finally {
    metering.time.offsetMs = 0;
  }
});

test("times are rounded outwards to the minute, and may begin in 1970 unless rows would be many", async () => {
  const account = organization();
  const at = "2026-05-01T12:00:00Z";
  await new Holder(metering, "rounded").ship(undefined, [
    row(account, "2026-05-01T11:59:00Z", 1),
    row(account, at, 2),
    row(account, "2026-05-01T12:01:00Z", 4),
    row(account, "2026-05-01T12:02:00Z", 8),
  ]);
  const odd = between("2026-05-01T12:00:59.999Z", "2026-05-01T12:01:00.001Z");
  expect(await query(account, odd)).toEqual([["2026-05-01T12:00:00.000Z", 6]]);
  const late = between("1970-01-01T00:00:00Z", "2199-12-31T23:59:59Z");
  expect(await query(account, late)).toEqual([["1970-01-01T00:00:00.000Z", 15]]);
  const day = ["2026-05-01T00:00:00.000Z", 15];
  expect(await query(account, { ...late, granularity: Granularity.DAY })).toEqual([day]);
  expect(await query(account, { ...late, granularity: Granularity.MONTH })).toEqual([day]);
  const fieldsOf = (more: object) =>
    query(account, more).then(
      () => [],
      ({ violations }) => violations.map(({ field }: { field: string }) => field),
    );
  expect(await fieldsOf({ ...late, granularity: Granularity.HOUR })).toEqual(["end"]);
  // 400 days as rounded, and a minute more.
  const granularity = Granularity.MINUTE;
  const year = between("2026-01-01T00:00:30Z", "2027-02-04T23:59:01Z");
  expect(await fieldsOf({ ...year, granularity })).toEqual([]);
  expect(await fieldsOf({ ...between("2025-12-31T23:59:59Z", "2027-02-04T23:59:01Z"), granularity })).toEqual(
    ["end"],
  );
  // Nothing lies between, though the minute that they are in would.
  expect(await fieldsOf(between("2026-05-01T12:00:30Z", "2026-05-01T12:00:30Z"))).toEqual(["start"]);
});

test("only a meter that exists can be asked for, known at once when it was made", async () => {
  const account = organization();
  const ask = (meter: string) => query(account, { meter });
  const refused = {
    code: "INVALID_ARGUMENT",
    violations: [{ field: "meter", description: "no such meter" }],
  };
  await expect(ask("pages")).rejects.toMatchObject(refused);
  await expect(ask("Not a name")).rejects.toMatchObject(refused);
  identity.meter("pages");
  expect(await ask("pages")).toEqual([]);
  expect(await ask("requests")).toEqual([]);
});

test("refused calls are counted apart, and show only by outcome", async () => {
  const account = organization();
  const at = "2026-05-01T00:00:00Z";
  await new Holder(metering, "denials").ship(undefined, [
    row(account, at, 3),
    row(account, at, 5, { outcome: "RATE_LIMITED" }),
    row(account, at, 7, { meter: "tokens" }),
  ]);
  const time = between(at, "2026-05-01T00:01:00Z");
  expect(await query(account, time)).toEqual([
    ["2026-05-01T00:00:00.000Z", 3],
    ["2026-05-01T00:00:00.000Z", 7],
  ]);
  expect(await query(account, { ...time, meter: "requests", groupBy: [GroupBy.OUTCOME] })).toEqual([
    ["2026-05-01T00:00:00.000Z", 5],
    ["2026-05-01T00:00:00.000Z", 3],
  ]);
});

test("parent = own + Σ children, by any grouping, and pages add up to the whole", async () => {
  const zones = ["UTC", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe"];
  const use = fc.record({
    account: fc.nat(3),
    minute: fc.nat(3 * 1440),
    key: fc.constantFrom("key_a", "key_b"),
    units: fc.integer({ min: 1, max: 1000 }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(use, { minLength: 1, maxLength: 30 }),
      fc.constantFrom(...zones),
      fc.constantFrom(Granularity.HOUR, Granularity.DAY, Granularity.MINUTE),
      fc.integer({ min: 1, max: 7 }),
      async (uses, timeZone, granularity, pageSize) => {
        const parent = organization();
        const child = identity.account(parent, "child");
        const accounts = [
          parent,
          child,
          identity.account(child, "grandchild"),
          identity.account(parent, "other"),
        ];
        const startMs = Date.parse("2026-10-31T00:00:00Z");
        const spool = new Holder(metering, `tree-${made}`);
        await spool.ship(
          undefined,
          uses.map(({ account, minute, key, units }) =>
            row(accounts[account]!, new Date(startMs + minute * 60_000).toISOString(), units, { keyId: key }),
          ),
        );
        const request = {
          ...between("2026-10-31T00:00:00Z", "2026-11-04T00:00:00Z"),
          granularity,
          timeZone,
          pageSize,
        };
        const all = async (account: AccountNode, more: object) => {
          const sums = new Map<string, number>();
          let pageToken = "";
          do {
            const page = await metering
              .usage(root)
              .queryUsage(
                { ...request, node: { case: "account", value: account.id }, pageToken, ...more },
                { timeoutMs },
              );
            for (const { start, keyId, units } of page.rows) {
              const at = `${timestampMs(start!)} ${keyId}`;
              expect(sums.has(at)).toBe(false);
              sums.set(at, Number(units));
            }
            pageToken = page.nextPageToken;
          } while (pageToken !== "");
          return sums;
        };
        const groupBy = [GroupBy.KEY];
        const whole = await all(parent, { descendants: true, groupBy });
        const added = new Map<string, number>();
        for (const account of accounts) {
          for (const [at, units] of await all(account, { groupBy })) {
            added.set(at, (added.get(at) ?? 0) + units);
          }
        }
        expect(Object.fromEntries(whole)).toEqual(Object.fromEntries(added));
        const total = uses.reduce((sum, { units }) => sum + units, 0);
        expect(whole.values().reduce((sum, units) => sum + units, 0)).toBe(total);
      },
    ),
    { numRuns: 6 },
  );
});

test("every bad field is named at once", async () => {
  const asked = metering.usage(root).queryUsage(
    {
      groupBy: [99 as GroupBy],
      granularity: 99 as Granularity,
      timeZone: "Mars/Olympus",
      start: timestampFromMs(-1),
      end: timestampFromMs(Date.UTC(2201, 0, 1)),
      meter: "m".repeat(101),
      pageSize: 10_001,
      pageToken: "x",
    },
    { timeoutMs },
  );
  const fields = asked.catch(({ violations }) => violations.map((each: { field: string }) => each.field));
  expect(await fields).toEqual([
    "group_by[0]",
    "granularity",
    "page_size",
    "meter",
    "time_zone",
    "end",
    "start",
    "page_token",
  ]);
});

test("usage out of reach is not there", async () => {
  const [mine, foreign] = [organization(), organization()];
  const key = identity.key(mine);
  const ask = (value: string) =>
    metering
      .usage(key)
      .queryUsage({ node: { case: "account", value } }, { timeoutMs })
      .catch((error) => error);
  const outside = await ask(foreign.id);
  const absent = await ask("acc_00000000000000000000");
  expect(outside).toMatchObject({ code: "NOT_FOUND", reason: "NOT_FOUND" });
  expect([absent.code, absent.message]).toEqual([outside.code, outside.message]);
});

describe("names out of reach", () => {
  const at = "2026-05-01T00:00:00Z";
  const time = between(at, "2026-05-01T00:01:00Z");
  const groupBy = [GroupBy.ACCOUNT, GroupBy.KEY];
  /** By QueryUsage, page by page, and by ExportUsage, which say the same. */
  async function seenBy(key: TestKey, more: object = {}) {
    const request = { ...time, groupBy, ...more };
    const paged: unknown[][] = [];
    for (let pageToken = ""; ; ) {
      const page = await metering
        .usage(key)
        .queryUsage({ ...request, pageSize: 1, pageToken }, { timeoutMs });
      paged.push(...page.rows.map(({ accountId, keyId, units }) => [accountId, keyId, Number(units)]));
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
    }
    let csv = "";
    for await (const part of metering.usage(key).exportUsage(request, { timeoutMs })) csv += part.csv;
    const lines = csv.trimEnd().split("\r\n").slice(1);
    expect(lines.map((line) => line.split(",")).map((row) => [row[1], row[2], Number(row[6])])).toEqual(
      paged,
    );
    return paged.toSorted();
  }

  test("are those of accounts below a key that reaches its own alone, whatever it asks for", async () => {
    const parent = organization();
    const child = identity.account(parent, "child");
    const [master, account] = [identity.key(parent), identity.key(parent, "ACCOUNT")];
    const below = identity.key(child, "ACCOUNT");
    await new Holder(metering, `below-${parent.id}`).ship(undefined, [
      row(parent, at, 1, { keyId: account.id }),
      row(child, at, 2, { keyId: below.id }),
      row(child, at, 4, { keyId: master.id }),
    ]);
    const descendants = true;
    const whole = [
      [parent.id, account.id, 1],
      [child.id, below.id, 2],
      [child.id, master.id, 4],
    ].toSorted();
    expect(await seenBy(master, { descendants })).toEqual(whole);
    expect(await seenBy(account, { descendants })).toEqual([[parent.id, account.id, 1]]);
    const key = { node: { case: "key", value: master.id } };
    expect(await seenBy(master, key)).toEqual([[child.id, master.id, 4]]);
    expect(await seenBy(account, key)).toEqual([["", master.id, 4]]);
    identity.change({ ...parent, isolated: true });
    await metering.follower.prove();
    expect(await seenBy(master, { descendants })).toEqual([[parent.id, account.id, 1]]);
    expect(await seenBy(master, key)).toEqual([["", master.id, 4]]);
  });

  test("are those of keys from above, whose usage is one row", async () => {
    const parent = organization();
    const child = identity.account(parent, "child");
    const [first, second] = [identity.key(parent), identity.key(parent)];
    const own = identity.key(child, "ACCOUNT", undefined, ["auditor"]);
    await new Holder(metering, `above-${parent.id}`).ship(undefined, [
      row(child, at, 1, { keyId: first.id }),
      row(child, at, 2, { keyId: second.id }),
      row(child, at, 4, { keyId: root.id }),
      row(child, at, 8, { keyId: own.id }),
    ]);
    expect(await seenBy(own)).toEqual([
      [child.id, "", 7],
      [child.id, own.id, 8],
    ]);
    const node = { case: "account", value: child.id };
    expect(await seenBy(first, { node })).toEqual(
      [
        [child.id, "", 4],
        [child.id, first.id, 1],
        [child.id, second.id, 2],
        [child.id, own.id, 8],
      ].toSorted(),
    );
    expect(await seenBy(root, { node })).toHaveLength(4);
  });
});
