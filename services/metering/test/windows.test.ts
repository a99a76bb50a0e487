import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { AskResult_Outcome as Outcome, type Quota, Window } from "@gatehouse/proto/metering";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
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

const moveTo = (at: string) => {
  metering.time.offsetMs = Date.parse(at) - Date.now();
};

let made = 0;
async function organization() {
  const account = identity.account(identity.root, `org-${++made}`);
  await metering.follower.prove();
  const node = { case: "account", value: account.id } as const;
  const holder = new Holder(metering, `h-${made}`);
  const set = async (value: Partial<Omit<Quota, "$typeName" | "$unknown">>) => {
    const quota = { units: 5n, window: Window.DAY, ...value };
    const request = { node, allowance: { case: "quota", value: quota } } as const;
    return (await metering.limits(root).setLimit(request, { timeoutMs })).limit!;
  };
  const allowance = async () => {
    const { allowances } = await metering.limits(root).getAllowance({ node }, { timeoutMs });
    const [{ used, remaining, resetsAt }] = allowances as [(typeof allowances)[number]];
    const at = resetsAt && new Date(timestampMs(resetsAt)).toISOString();
    return [Number(used), Number(remaining), at];
  };
  /** Uses units up, and tells so. */
  const use = async (units: number) => {
    const { results, limits } = await holder.acquire([account.id], { requests: units }, { want: units });
    if (results[0]!.outcome !== Outcome.GRANTED) return false;
    const ids = limits[0]!.limits.map(({ id }) => id);
    for (let i = 0; i < units; i++) expect(holder.spend(ids)).toBe(true);
    await holder.ship(() => true);
    return true;
  };
  return { node, holder, set, allowance, use, nodeIds: [account.id] };
}

test.each([
  // The name of the day, its first moment, a moment of its last hour, and its end.
  ["of 23 hours", "2025-03-09T08:00:00Z", "2025-03-10T06:50:00Z", "2025-03-10T07:00:00.000Z"],
  ["of 25 hours", "2025-11-02T07:00:00Z", "2025-11-03T07:50:00Z", "2025-11-03T08:00:00.000Z"],
])("a day %s in Los Angeles is one window, and the next begins with it", async (_, start, last, end) => {
  const { set, allowance, use } = await organization();
  moveTo(start);
  await set({ timeZone: "America/Los_Angeles" });
  expect(await use(3)).toBe(true);
  moveTo(last);
  expect(await allowance()).toEqual([3, 2, end]);
  expect(await use(3)).toBe(false);
  moveTo(end);
  expect((await allowance()).slice(0, 2)).toEqual([0, 5]);
  expect(await use(5)).toBe(true);
});

test("the hours that clocks go through twice are two windows", async () => {
  const { set, allowance, use } = await organization();
  moveTo("2025-11-02T08:30:00Z");
  await set({ window: Window.HOUR, timeZone: "America/Los_Angeles" });
  expect(await use(5)).toBe(true);
  expect(await allowance()).toEqual([5, 0, "2025-11-02T09:00:00.000Z"]);
  moveTo("2025-11-02T09:30:00Z");
  expect(await allowance()).toEqual([0, 5, "2025-11-02T10:00:00.000Z"]);
});

test("a month in a half-hour zone ends at its midnight, leap day or not", async () => {
  const { set, allowance, use } = await organization();
  moveTo("2028-02-28T18:30:00Z");
  await set({ window: Window.MONTH, timeZone: "Asia/Kolkata" });
  await use(2);
  expect(await allowance()).toEqual([2, 3, "2028-02-29T18:30:00.000Z"]);
  moveTo("2028-02-29T18:30:00Z");
  expect(await allowance()).toEqual([0, 5, "2028-03-31T18:30:00.000Z"]);
});

test("a month anchored on the 31st starts anew on the last of shorter ones", async () => {
  const { set, allowance, use } = await organization();
  const anchor = timestampFromMs(Date.parse("2027-01-31T12:00:00Z"));
  moveTo("2027-02-28T11:00:00Z");
  await set({ window: Window.MONTH, anchor });
  await use(5);
  expect(await allowance()).toEqual([5, 0, "2027-02-28T12:00:00.000Z"]);
  moveTo("2027-02-28T12:00:00Z");
  expect(await allowance()).toEqual([0, 5, "2027-03-31T12:00:00.000Z"]);
});

test("a quota that never refills is used once, years later too, until it is raised", async () => {
  const { set, allowance, use } = await organization();
  await set({ window: Window.NEVER });
  expect(await use(5)).toBe(true);
  moveTo("2036-01-01T00:00:00Z");
  expect(await use(1)).toBe(false);
  await set({ window: Window.NEVER, units: 7n });
  expect(await allowance()).toEqual([5, 2, undefined]);
  expect(await use(2)).toBe(true);
});

test("a limit lowered below what was used admits nothing until it starts anew or is raised", async () => {
  const { set, allowance, use } = await organization();
  moveTo("2027-05-01T10:00:00Z");
  const { id } = await set({ units: 10n });
  await use(6);
  expect((await set({ units: 4n })).id).toBe(id);
  expect((await allowance()).slice(0, 2)).toEqual([6, -2]);
  expect(await use(1)).toBe(false);
  await set({ units: 8n });
  expect(await use(2)).toBe(true);
  await set({ units: 3n });
  moveTo("2027-05-02T00:00:00Z");
  expect(await use(3)).toBe(true);
  expect(await use(1)).toBe(false);
});

test("a limit of nothing admits nothing, and says when it could", async () => {
  const { set, use, allowance } = await organization();
  moveTo("2027-05-01T10:00:00Z");
  await set({ units: 0n });
  expect(await use(1)).toBe(false);
  expect(await allowance()).toEqual([0, 0, "2027-05-02T00:00:00.000Z"]);
});

test("a limit that is deleted calls its leases back, and counts anew when it is set again", async () => {
  const { set, use, allowance, holder, nodeIds } = await organization();
  const { id } = await set({});
  await use(2);
  await holder.answerRecalls();
  await holder.acquire(nodeIds, { requests: 1 }, { want: 1 });
  await metering.limits(root).deleteLimit({ limit: id }, { timeoutMs });
  await expect.poll(() => holder.recalled).toEqual([id]);
  expect((await set({})).id).not.toBe(id);
  expect((await allowance()).slice(0, 2)).toEqual([0, 5]);
  holder.stop();
});

test("a lease lent just before a window's end is not spent in the next", async () => {
  const { set, holder, nodeIds, allowance } = await organization();
  moveTo("2027-05-01T23:59:30Z");
  await set({});
  const { leases } = await holder.acquire(nodeIds, { requests: 5 }, { want: 5 });
  expect(leases[0]!.windowEnd).toBe(BigInt(Date.parse("2027-05-02T00:00:00Z")));
  expect(Number(leases[0]!.ttl!.seconds)).toBeLessThanOrEqual(30);
  moveTo("2027-05-02T00:00:01Z");
  // What is told of it late is of the day before.
  await holder.ship(() => true);
  expect((await allowance()).slice(0, 2)).toEqual([0, 5]);
});

test("buckets of windows that were over long ago are forgotten, and no others", async () => {
  const { set, use } = await organization();
  const { id } = await set({});
  await set({ window: Window.NEVER, units: 100n });
  const DAY_MS = 86_400_000;
  const windows = async () => {
    const rows = await metering.query<{ window_start: Date }>(
      "SELECT window_start FROM quota_bucket WHERE limit_id = $1 ORDER BY window_start",
      [id],
    );
    return rows.map((row) => Math.floor((row.window_start.getTime() - Date.now()) / DAY_MS) + 1);
  };
  expect(await use(1)).toBe(true);
  metering.time.offsetMs = 90 * DAY_MS;
  expect(await use(1)).toBe(true);
  expect(await windows()).toEqual([0, 90]);
  metering.time.offsetMs = 93 * DAY_MS;
  await expect.poll(windows, { timeout: timeoutMs }).toEqual([90]);
  expect(await use(1)).toBe(true);
  const never = "SELECT FROM quota_bucket WHERE window_end IS NULL AND spent = 3";
  expect(await metering.query(never, [])).toHaveLength(1);
});
