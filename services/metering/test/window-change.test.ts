import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { AskResult_Outcome as Outcome, type Quota, Window } from "@gatehouse/proto/metering";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { openWindows } from "../src/storage/quota-windows.ts";
import { IdentityLog, startMetering, type TestMetering } from "./fixture.ts";
import { Holder } from "./holder.ts";

const timeoutMs = 5000;
const identity = new IdentityLog();
const root = identity.key(identity.root);
let postgres: TestPostgres;
let metering: TestMetering;

beforeAll(async () => {
  postgres = await startTestPostgres();
  metering = await startMetering(postgres.url, identity);
});

afterAll(async () => {
  await metering?.stop();
  await postgres?.stop();
});

beforeEach(() => {
  metering.time.offsetMs = 0;
});

let made = 0;
async function organization() {
  const account = identity.account(identity.root, `org-${++made}`);
  await metering.follower.prove();
  const node = { case: "account", value: account.id } as const;
  const set = async (value: Partial<Omit<Quota, "$typeName" | "$unknown">>) => {
    const quota = { units: 5n, window: Window.DAY, ...value };
    const request = { node, allowance: { case: "quota", value: quota } } as const;
    return (await metering.limits(root).setLimit(request, { timeoutMs })).limit!;
  };
  const allowances = async () => {
    const answer = await metering.limits(root).getAllowance({ node }, { timeoutMs });
    return answer.allowances.map(({ used, remaining, resetsAt }) => ({
      used,
      remaining,
      resetsAt: new Date(timestampMs(resetsAt!)).toISOString(),
    }));
  };
  return { nodeIds: [account.id], set, allowances, holder: new Holder(metering, `h-${made}`) };
}

const moveTo = (at: string) => {
  metering.time.offsetMs = Date.parse(at) - Date.now();
};

test("another zone changes the limit; the window in use goes on, and the next is the new zone's", async () => {
  const { nodeIds, set, allowances, holder } = await organization();
  moveTo("2027-03-01T12:00:00Z");
  const before = await set({});
  expect((await holder.acquire(nodeIds, { requests: 3 }, { want: 3 })).leases).toMatchObject([{ units: 3n }]);
  for (let i = 0; i < 3; i++) holder.spend([before.id]);
  await holder.ship(() => true);

  const after = await set({ timeZone: "Asia/Kolkata" });
  expect(after).toMatchObject({ id: before.id, allowance: { value: { timeZone: "Asia/Kolkata" } } });
  expect(await allowances()).toEqual([{ used: 3n, remaining: 2n, resetsAt: "2027-03-02T00:00:00.000Z" }]);
  expect((await holder.acquire(nodeIds, { requests: 3 })).results[0]!.outcome).toBe(Outcome.EXHAUSTED);

  moveTo("2027-03-02T00:00:30Z");
  expect((await holder.acquire(nodeIds, { requests: 5 })).results[0]!.outcome).toBe(Outcome.GRANTED);
  expect(await allowances()).toMatchObject([{ remaining: 0n, resetsAt: "2027-03-02T18:30:00.000Z" }]);
});

test("another anchor changes the limit, and counts at once where nothing was used yet", async () => {
  const { set, allowances } = await organization();
  moveTo("2027-03-01T12:00:00Z");
  const before = await set({ window: Window.MONTH });
  const anchor = timestampFromMs(Date.parse("2027-01-15T06:00:00Z"));
  expect((await set({ window: Window.MONTH, anchor })).id).toBe(before.id);
  expect(await allowances()).toMatchObject([{ resetsAt: "2027-03-15T06:00:00.000Z" }]);
  expect((await set({ window: Window.WEEK })).id).not.toBe(before.id);
});

test("a new window that begins with the old one and outlasts it still limits", async () => {
  const { nodeIds, set, holder } = await organization();
  // Clocks go back in the Azores on 31 October: a day from 00:00Z on, as in UTC, but of 25 hours.
  moveTo("2027-10-31T12:00:00Z");
  await set({ units: 1n });
  await holder.acquire(nodeIds, { requests: 1 });
  await set({ units: 1n, timeZone: "Atlantic/Azores" });
  moveTo("2027-11-01T00:30:00Z");
  const { leases } = await holder.acquire(nodeIds, { requests: 1 });
  expect(leases).toMatchObject([{ units: 1n, windowEnd: BigInt(Date.parse("2027-11-01T01:00:00Z")) }]);
  expect((await holder.acquire(nodeIds, { requests: 1 })).results[0]!.outcome).toBe(Outcome.EXHAUSTED);
});

test("two rounds that read a limit before and after a change of its zone open one window", async () => {
  const atMs = Date.parse("2027-03-01T12:00:00Z");
  const hour = (startsAt: string) => {
    const startMs = Date.parse(startsAt);
    return { limitId: "lim_raced", atMs, window: { startMs, endMs: startMs + 3_600_000 } };
  };
  const [opened, finish] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const first = metering.changeLog.commit(async ({ manager }) => {
    await openWindows(manager, [hour("2027-03-01T12:00:00Z")]);
    opened.resolve();
    await finish.promise;
  });
  await opened.promise;
  const second = metering.changeLog.commit(({ manager }) =>
    openWindows(manager, [hour("2027-03-01T11:30:00Z")]),
  );
  const waiting = () =>
    metering.query<object>("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted", []);
  await expect.poll(waiting).toHaveLength(1);
  finish.resolve();
  await Promise.all([first, second]);
  const rows = await metering.query("SELECT window_start FROM quota_bucket WHERE limit_id = 'lim_raced'", []);
  expect(rows).toEqual([{ window_start: new Date("2027-03-01T12:00:00Z") }]);
});
