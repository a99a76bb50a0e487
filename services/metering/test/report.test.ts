import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { AccountNode } from "@gatehouse/access";
import { ErrorReason } from "@gatehouse/proto/common";
import { AskResult_Outcome, Granularity, GroupBy, Window } from "@gatehouse/proto/metering";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from "vitest";
import { PostgresReportStore } from "../src/storage/report-store.ts";
import { IdentityLog, startMetering, type TestKey, type TestMetering } from "./fixture.ts";
import { Holder } from "./holder.ts";

const timeoutMs = 5000;
const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
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
function organization(): AccountNode {
  return identity.account(identity.root, `org-${++made}`);
}

/** Noon of a day that is over, so that neither it nor its windows end while a test runs. */
function noon(daysAgo = 1): number {
  return Math.floor(Date.now() / DAY_MS) * DAY_MS - daysAgo * DAY_MS + 12 * HOUR_MS;
}

interface Event {
  readonly id: string;
  readonly of: AccountNode | TestKey | string;
  readonly meter?: string;
  readonly units?: number;
  readonly atMs?: number;
  readonly resource?: string;
}

function wire({ id, of, meter = "tokens", units = 1, atMs = noon(), resource = "" }: Event) {
  const value = typeof of === "string" ? of : of.id;
  const node =
    typeof of !== "string" && "presented" in of
      ? ({ case: "key", value } as const)
      : ({ case: "account", value } as const);
  return { id, node, meter, units: BigInt(units), time: timestampFromMs(atMs), resource };
}

async function report(source: string, events: readonly Event[], from: TestMetering = metering) {
  const answer = await from
    .usage(root)
    .reportUsage({ source, events: events.map(wire) }, { timeoutMs: 20_000 });
  const errors = answer.errors.map(({ index, reason, field }) => [index, ErrorReason[reason], field]);
  return { booked: answer.booked, duplicates: answer.duplicates, errors };
}

async function rowsOf(account: AccountNode, more: object = {}) {
  const { rows } = await metering.usage(root).queryUsage(
    {
      node: { case: "account", value: account.id },
      start: timestampFromMs(noon(30)),
      end: timestampFromMs(Date.now() + HOUR_MS),
      ...more,
    },
    { timeoutMs },
  );
  return rows;
}

async function used(account: AccountNode): Promise<number> {
  return (await rowsOf(account)).reduce((sum, { units }) => sum + Number(units), 0);
}

async function quotaOn(node: AccountNode | TestKey, more: object = {}): Promise<void> {
  await metering.follower.prove();
  const value = node.id;
  const quota = { units: 100n, window: Window.DAY };
  await metering.limits(root).setLimit(
    {
      node: "presented" in node ? { case: "key", value } : { case: "account", value },
      meter: "tokens",
      allowance: { case: "quota", value: { ...quota, ...more } },
    },
    { timeoutMs },
  );
}

async function remaining(node: AccountNode | TestKey): Promise<number[]> {
  const { value } = { value: node.id };
  const { allowances } = await metering
    .limits(root)
    .getAllowance(
      { node: "presented" in node ? { case: "key", value } : { case: "account", value } },
      { timeoutMs },
    );
  return allowances.map(({ used }) => Number(used));
}

test("an event counts in its own minute, for its key, its account and all accounts above", async () => {
  const top = organization();
  const team = identity.account(top, "team");
  const key = identity.key(team);
  const at = noon();
  expect(
    await report("mixed", [
      { id: "a", of: key, units: 3, atMs: at + 59_999 },
      { id: "b", of: team, units: 4, atMs: at + 60_000, resource: "model.chat" },
      { id: "c", of: `${top.slug}/team`, units: 5, atMs: at },
      { id: "d", of: top.slug, units: 6, atMs: at },
      { id: "nothing", of: team, units: 0, atMs: at },
    ]),
  ).toEqual({ booked: 5, duplicates: 0, errors: [] });
  const rows = await rowsOf(top, {
    descendants: true,
    groupBy: [GroupBy.ACCOUNT, GroupBy.KEY, GroupBy.RESOURCE],
    granularity: Granularity.MINUTE,
  });
  expect(
    rows.map(({ start, accountId, keyId, resource, units }) => [
      timestampMs(start!) - at,
      accountId === top.id ? "top" : "team",
      keyId === key.id,
      resource,
      Number(units),
    ]),
  ).toEqual(
    expect.arrayContaining([
      [0, "top", false, "", 6],
      [0, "team", false, "", 5],
      [0, "team", true, "", 3],
      [60_000, "team", false, "model.chat", 4],
    ]),
  );
  expect(rows).toHaveLength(4);
});

/** Sends of one event of 7 units: at once and one after another, in one call and to another replica. */
async function sendThousand(event: Event) {
  const sends = await Promise.all(
    Array.from({ length: 40 }, () =>
      report(
        "thousand",
        Array.from({ length: 20 }, () => event),
      ),
    ),
  );
  const more = await report(
    "thousand",
    Array.from({ length: 199 }, () => event),
  );
  const other = await startMetering(postgres.url, identity);
  try {
    const all = [...sends, more, await report("thousand", [event], other)];
    return {
      booked: all.reduce((sum, { booked }) => sum + booked, 0),
      duplicates: all.reduce((sum, { duplicates }) => sum + duplicates, 0),
      errors: all.flatMap(({ errors }) => errors),
    };
  } finally {
    await other.stop();
  }
}

test("a thousand sends of one event count once, at once and one after another, in one call and after a restart", async () => {
  const account = organization();
  await quotaOn(account);
  const event: Event = { id: "one", of: account, units: 7, atMs: Date.now() };
  expect(await sendThousand(event)).toEqual({ booked: 1, duplicates: 999, errors: [] });
  expect(await used(account)).toBe(7);
  expect(await remaining(account)).toEqual([7]);
});

test("control: events that are not claimed count with each round of calls", async () => {
  const { transact } = PostgresReportStore.prototype;
  const claimed = vi.spyOn(PostgresReportStore.prototype, "transact");
  onTestFinished(() => claimed.mockRestore());
  claimed.mockImplementation(function (this: PostgresReportStore, work) {
    return transact.call(this, (tx) => work(Object.assign(tx, { claim: async () => new Map() })));
  });
  const account = organization();
  await quotaOn(account);
  const { booked } = await sendThousand({ id: "many", of: account, units: 7, atMs: Date.now() });
  // Forty calls at once are five rounds at least; one after another, and to another replica, each is one.
  expect(booked).toBeGreaterThanOrEqual(7);
  expect(await used(account)).toBe(7 * booked);
  expect(await remaining(account)).toEqual([7 * booked]);
});

test("two calls with the same events in another order book each once", async () => {
  const account = organization();
  const events = Array.from({ length: 500 }, (_, i): Event => ({ id: `e${i}`, of: account }));
  const calls = Array.from({ length: 6 }, (_, i) =>
    report("crossed", i % 2 === 0 ? events : events.toReversed()),
  );
  const answers = await Promise.all(calls);
  expect(answers.reduce((sum, { booked }) => sum + booked, 0)).toBe(500);
  expect(answers.reduce((sum, { duplicates }) => sum + duplicates, 0)).toBe(2500);
  expect(await used(account)).toBe(500);
});

test("events are told apart by source, day and id; another under the same id is refused", async () => {
  const account = organization();
  const one: Event = { id: "x", of: account, units: 1 };
  expect((await report("apart", [one, { ...one, atMs: noon() + DAY_MS - 13 * HOUR_MS }])).errors).toEqual([
    [1, "IDEMPOTENCY_MISMATCH", "id"],
  ]);
  expect(await report("apart", [{ ...one, atMs: noon(2) }])).toMatchObject({ booked: 1 });
  expect(await report("another", [one])).toMatchObject({ booked: 1 });
  for (const other of [{ units: 2 }, { meter: "requests" }, { resource: "r.x" }, { of: organization() }]) {
    const answer = await report("apart", [
      { ...one, ...other },
      { id: `y${++made}`, of: account },
    ]);
    expect(answer).toEqual({ booked: 1, duplicates: 0, errors: [[0, "IDEMPOTENCY_MISMATCH", "id"]] });
  }
  expect(await report("apart", [{ ...one, of: account.slug }])).toMatchObject({ duplicates: 1, errors: [] });
  expect(await used(account)).toBe(3 + 4);
});

test("each bad event has an error, in order, and holds up no other", async () => {
  const account = organization();
  const nowMs = Date.now();
  const good: Event = { id: "good", of: account };
  const absentKey = { ...identity.key(account), id: `key_${"0".repeat(20)}` };
  const events: Event[] = [
    { ...good, id: "" },
    { ...good, id: "i".repeat(129) },
    { ...good, id: "no-meter", meter: "Not a meter" },
    { ...good, id: "less", units: -1 },
    { ...good, id: "more", units: 2 ** 49 },
    { ...good, id: "resource", resource: "..x" },
    { ...good, id: "late", atMs: nowMs - 35 * DAY_MS - 60_000 },
    { ...good, id: "early", atMs: nowMs + 6 * 60_000 },
    { ...good, id: "account", of: "acc_00000000000000000000" },
    { ...good, id: "slug", of: "a/b/c" },
    { ...good, id: "key", of: absentKey },
    { ...good, id: "meter", meter: "pages" },
    good,
    { ...good, id: "soon", atMs: nowMs + 60_000 },
    { ...good, id: "old", atMs: nowMs - 34 * DAY_MS },
  ];
  expect(await report("bad", events)).toEqual({
    booked: 3,
    duplicates: 0,
    errors: [
      [0, "INVALID_FIELD", "id"],
      [1, "INVALID_FIELD", "id"],
      [2, "INVALID_FIELD", "meter"],
      [3, "INVALID_FIELD", "units"],
      [4, "INVALID_FIELD", "units"],
      [5, "INVALID_FIELD", "resource"],
      [6, "INVALID_FIELD", "time"],
      [7, "INVALID_FIELD", "time"],
      [8, "NOT_FOUND", "account"],
      [9, "NOT_FOUND", "account"],
      [10, "NOT_FOUND", "key"],
      [11, "NOT_FOUND", "meter"],
    ],
  });
  // What was refused left its id free.
  expect(await report("bad", [{ ...good, id: "less" }])).toMatchObject({ booked: 1 });
});

test("what was made a moment ago is found; while identity is silent it is asked for again, and the rest is booked", async () => {
  const account = organization();
  await metering.follower.prove();
  const young = organization();
  identity.meter(`m${made}`);
  expect(await report("young", [{ id: "1", of: young, meter: `m${made}` }])).toMatchObject({ booked: 1 });
  identity.up = false;
  try {
    expect(
      await report("young", [
        { id: "2", of: `acc_${"1".repeat(20)}` },
        { id: "3", of: account },
      ]),
    ).toEqual({ booked: 1, duplicates: 0, errors: [[0, "SOURCE_UNAVAILABLE", ""]] });
  } finally {
    identity.up = true;
  }
});

test("usage draws on every quota of key, parent key, account and above, in the window that holds its time", async () => {
  const top = organization();
  const team = identity.account(top, "team");
  const parent = identity.key(team);
  const key = identity.key(team, "SUB", parent);
  for (const node of [top, team, parent, key]) await quotaOn(node);
  await quotaOn(top, { units: 1000n, window: Window.MONTH, timeZone: "Asia/Kolkata" });
  const nowMs = Date.now();
  await report("draws", [
    { id: "1", of: key, units: 150, atMs: nowMs },
    { id: "2", of: team, units: 10, atMs: nowMs },
    { id: "3", of: top, units: 1, atMs: nowMs },
    { id: "4", of: top, units: 5, meter: "requests", atMs: nowMs },
  ]);
  expect(await remaining(key)).toEqual(expect.arrayContaining([150]));
  const buckets = await metering.query<{ node_id: string; window_kind: string; spent: string }>(
    `SELECT l.node_id, l.window_kind, sum(b.spent) AS spent FROM quota_bucket b JOIN node_limit l ON l.id = b.limit_id
     WHERE l.node_id = ANY($1) GROUP BY 1, 2`,
    [[top.id, team.id, parent.id, key.id]],
  );
  const spent = new Map(buckets.map((row) => [`${row.node_id} ${row.window_kind}`, Number(row.spent)]));
  expect(Object.fromEntries(spent)).toEqual({
    [`${top.id} DAY`]: 161,
    [`${top.id} MONTH`]: 161,
    [`${team.id} DAY`]: 160,
    [`${parent.id} DAY`]: 150,
    [`${key.id} DAY`]: 150,
  });
});

test("a window that is over is drawn from, too, each by the events of its time", async () => {
  const account = organization();
  await quotaOn(account, { window: Window.HOUR });
  await metering.query("UPDATE node_limit SET created_at = $2 WHERE node_id = $1", [
    account.id,
    new Date(noon(9)),
  ]);
  const at = noon(8);
  const hours = [0, 1, 1, 5];
  await report(
    "windows",
    hours.map((hour, i) => ({ id: `${i}`, of: account, units: 10 ** i, atMs: at + hour * HOUR_MS + i })),
  );
  // Before the limit was made there was nothing to draw from.
  await report("windows", [{ id: "before", of: account, units: 5, atMs: noon(10) }]);
  const buckets = await metering.query<{ window_start: Date; spent: string }>(
    `SELECT window_start, spent FROM quota_bucket WHERE limit_id IN (SELECT id FROM node_limit WHERE node_id = $1)
     ORDER BY window_start`,
    [account.id],
  );
  expect(buckets.map((row) => [row.window_start.getTime() - at, Number(row.spent)])).toEqual([
    [0, 1],
    [HOUR_MS, 110],
    [5 * HOUR_MS, 1000],
  ]);
  expect(await used(account)).toBe(1116);
});

test("below zero nothing is lent, and what is lent is called back", async () => {
  const account = organization();
  await quotaOn(account);
  const holder = new Holder(metering, "reported");
  await holder.answerRecalls();
  try {
    await holder.acquire([account.id], { tokens: 5 }, { want: 20 });
    await report("below", [{ id: "1", of: account, units: 500, atMs: Date.now() }]);
    await expect.poll(() => holder.recalled.length, { timeout: 5000 }).toBeGreaterThan(0);
    const { results } = await holder.acquire([account.id], { tokens: 1 });
    expect(results[0]!.outcome).toBe(AskResult_Outcome.EXHAUSTED);
    expect(await remaining(account)).toEqual([500]);
  } finally {
    holder.stop();
  }
});

test("a call without source or events, or with too many, is refused as a whole", async () => {
  const ask = (source: string, events: ReturnType<typeof wire>[]) =>
    metering
      .usage(root)
      .reportUsage({ source, events }, { timeoutMs })
      .then(
        () => [],
        ({ violations }) => violations.map(({ field }: { field: string }) => field),
      );
  const event = wire({ id: "1", of: organization() });
  expect(await ask("a b", [])).toEqual(["source", "events"]);
  expect(await ask("a", Array(1001).fill(event))).toEqual(["events"]);
  const organizations = identity.key(organization());
  const refused = metering.usage(organizations).reportUsage({ source: "a", events: [event] }, { timeoutMs });
  await expect(refused).rejects.toMatchObject({ code: "PERMISSION_DENIED", reason: "PROVIDER_ONLY" });
});
