import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Limit, AskResult_Outcome as Outcome, Window } from "@gatehouse/proto/metering";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import type { EntityManager } from "typeorm";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { lockRound, readRound } from "../src/storage/round-stock.ts";
import { surveyRound } from "../src/storage/round-survey.ts";
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

const daily = { case: "quota", value: { units: 5n, window: Window.DAY } } as const;
const never = { case: "quota", value: { units: 5n, window: Window.NEVER } } as const;
const rate = {
  case: "rate",
  value: { units: 1n, interval: { seconds: 3600n, nanos: 0 }, burst: 5n },
} as const;

let made = 0;
async function organization(allowance: typeof daily | typeof never | typeof rate) {
  const account = identity.account(identity.root, `org-${++made}`);
  await metering.follower.prove();
  const node = { case: "account", value: account.id } as const;
  const limit = (await metering.limits(root).setLimit({ node, allowance }, { timeoutMs })).limit!;
  const reset = () => metering.limits(root).resetLimit({ limit: limit.id }, { timeoutMs });
  const read = async () => (await metering.limits(root).getAllowance({ node }, { timeoutMs })).allowances[0]!;
  return { nodeIds: [account.id], limit, reset, read, holder: new Holder(metering, `h-${made}`) };
}

async function spend(holder: Holder, nodeIds: readonly string[], limit: Limit, units: number) {
  await holder.acquire(nodeIds, { requests: units }, { want: units });
  for (let i = 0; i < units; i++) expect(holder.spend([limit.id])).toBe(true);
}

test("a quota is full again until its window's regular end, and then starts anew as ever", async () => {
  const { nodeIds, limit, reset, read, holder } = await organization(daily);
  moveTo("2027-03-01T12:00:00Z");
  await spend(holder, nodeIds, limit, 5);
  await holder.ship(() => true);
  expect((await holder.acquire(nodeIds, { requests: 1 })).results[0]!.outcome).toBe(Outcome.EXHAUSTED);

  const { allowance } = await reset();
  expect(allowance).toMatchObject({ limit: { id: limit.id }, used: 0n, leased: 0n, remaining: 5n });
  expect(new Date(timestampMs(allowance!.resetsAt!)).toISOString()).toBe("2027-03-02T00:00:00.000Z");
  expect(await read()).toEqual({ ...allowance, allocatedBelow: 0n });

  const { results, leases } = await holder.acquire(nodeIds, { requests: 5 }, { want: 5 });
  expect(results[0]!.outcome).toBe(Outcome.GRANTED);
  expect(leases).toMatchObject([{ units: 5n, windowEnd: BigInt(Date.parse("2027-03-02T00:00:00Z")) }]);
  expect((await holder.acquire(nodeIds, { requests: 6 })).results[0]!.outcome).toBe(Outcome.EXHAUSTED);
  moveTo("2027-03-02T00:00:10Z");
  expect(await read()).toMatchObject({ used: 0n, remaining: 5n });
});

test.each([
  {
    allowance: daily,
    lock: "SELECT FROM quota_bucket WHERE limit_id = $1 FOR UPDATE",
    lend: `INSERT INTO quota_lease (id, bucket_id, limit_id, holder, units, deadline)
       SELECT $1, id, limit_id, $2, 1, window_end FROM quota_bucket WHERE limit_id = $3`,
  },
  {
    allowance: rate,
    lock: "SELECT FROM rate_bucket WHERE limit_id = $1 FOR UPDATE",
    lend: `INSERT INTO rate_lease (id, holder, limit_id, units, deadline)
       VALUES ($1, $2, $3, 1, now() + interval '10 s')`,
  },
])("what is lent of a $allowance.case while a reset waits for it is called back, too", async (each) => {
  const { nodeIds, limit, reset, holder } = await organization(each.allowance);
  await spend(holder, nodeIds, limit, 1);
  const other = new Holder(metering, `other-${made}`);
  await other.answerRecalls();
  const [lent, finish] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const lending = metering.changeLog.commit(async ({ manager }) => {
    await manager.query("SET LOCAL idle_in_transaction_session_timeout = 0");
    await manager.query(each.lock, [limit.id]);
    await manager.query(each.lend, [crypto.randomUUID(), other.name, limit.id]);
    lent.resolve();
    await finish.promise;
  });
  await lent.promise;
  const renewed = reset();
  const waiting = "SELECT FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted";
  await expect.poll(() => metering.query(waiting, [])).toHaveLength(1);
  finish.resolve();
  await Promise.all([lending, renewed]);
  await expect.poll(() => other.recalled).toEqual([limit.id]);
  other.stop();
});

test("what leases of before still tell of is booked where they were lent", async () => {
  const { nodeIds, limit, reset, read, holder } = await organization(daily);
  await spend(holder, nodeIds, limit, 3);
  await reset();
  await holder.ship(() => true);
  expect(await read()).toMatchObject({ used: 0n, leased: 0n, remaining: 5n });
  const buckets = await metering.query(
    "SELECT spent::int, leased::int FROM quota_bucket WHERE limit_id = $1 ORDER BY id",
    [limit.id],
  );
  expect(buckets).toEqual([
    { spent: 3, leased: 0 },
    { spent: 0, leased: 0 },
  ]);
});

test.each([
  ["quota", daily],
  ["rate", rate],
] as const)("what is lent of a %s is called back", async (_, allowance) => {
  const { nodeIds, limit, reset, read, holder } = await organization(allowance);
  await holder.answerRecalls();
  await holder.acquire(nodeIds, { requests: 1 }, { want: 2 });
  await reset();
  await expect.poll(() => holder.recalled).toEqual([limit.id]);
  expect(await read()).toMatchObject({ used: 0n, leased: 0n, remaining: 5n });
  holder.stop();
});

test("a rate is full at once, and hears nothing more of the leases of before", async () => {
  const { nodeIds, limit, reset, read, holder } = await organization(rate);
  const { leases } = await holder.acquire(nodeIds, { requests: 5 }, { want: 5 });
  expect((await holder.acquire(nodeIds, { requests: 1 })).results[0]!.outcome).not.toBe(Outcome.GRANTED);
  expect((await reset()).allowance).toMatchObject({ limit: { id: limit.id }, remaining: 5n });
  const spends = [{ units: 5n, age: { seconds: 0n, nanos: 0 } }];
  const reports = leases.map(({ id }) => ({ leaseId: id, reported: 0n, spends, closed: true }));
  await metering.leases.acquire({ holder: holder.name, asks: [], reports }, { timeoutMs });
  expect(await read()).toMatchObject({ used: 0n, leased: 0n, remaining: 5n });
});

test("a quota that never refills is reset again and again, also within a moment", async () => {
  const { nodeIds, limit, reset, read, holder } = await organization(never);
  for (let i = 0; i < 20; i++) {
    await spend(holder, nodeIds, limit, 5);
    await holder.ship(() => true);
    await Promise.all([reset(), reset()]);
    await expect.poll(read).toMatchObject({ used: 0n, remaining: 5n });
  }
  expect((await read()).resetsAt).toBeUndefined();
  const [{ overlaps }] = (await metering.query(
    `SELECT count(*)::int AS overlaps FROM quota_bucket a JOIN quota_bucket b USING (limit_id)
     WHERE a.id < b.id AND limit_id = $1
       AND tstzrange(a.window_start, a.window_end) && tstzrange(b.window_start, b.window_end)`,
    [limit.id],
  )) as [{ overlaps: number }];
  expect(overlaps).toBe(0);
});

test("a round that began before a reset lends nothing that could be spent", async () => {
  const { limit, reset, nodeIds } = await organization(daily);
  await new Holder(metering, `early-${made}`).acquire(nodeIds, { requests: 1 });
  const during = async <T>(work: (manager: EntityManager) => Promise<T>) =>
    (await metering.changeLog.commit(({ manager }) => work(manager))).value;
  const names = { holders: [], nodeIds, meters: [], leaseIds: [] };
  const survey = await during((manager) => surveyRound(manager, names, 0));
  await reset();
  const quotas = survey.quotas.get(limit.id)!.map(({ id }) => id);
  const locks = { holders: [], quotas, rates: [], wallets: [] };
  const stock = await during(async (manager) => {
    await lockRound(manager, locks);
    return readRound(manager, locks, { survey, nodeIds, graceMs: 0 }, 0);
  });
  const endMs = stock.quotas[0]!.endMs! - stock.nowMs;
  expect(endMs).toBeLessThanOrEqual(0);
});

test("a bucket that nothing was drawn from stays as it is", async () => {
  const { limit, reset } = await organization(daily);
  expect((await reset()).allowance).toMatchObject({ used: 0n, remaining: 5n });
  expect(await metering.query("SELECT FROM quota_bucket WHERE limit_id = $1", [limit.id])).toEqual([]);
});

test("a reset is for whom the limit is above, and leaves an audit event with what had been used", async () => {
  const { nodeIds, limit, reset, holder } = await organization(daily);
  const own = identity.key({ ...identity.root, id: nodeIds[0]! });
  const stranger = identity.key(identity.account(identity.root, `stranger-${made}`));
  await metering.follower.prove();
  const as = (key: typeof own, id = limit.id) =>
    metering.limits(key).resetLimit({ limit: id }, { timeoutMs });
  await expect(as(own)).rejects.toMatchObject({ code: "PERMISSION_DENIED", reason: "OWN_CEILING" });
  const missing = await as(stranger, "lim_00000000000000000000").catch((error) => error);
  const foreign = await as(stranger).catch((error) => error);
  expect(foreign).toMatchObject({ code: "NOT_FOUND" });
  expect([foreign.message, foreign.reason]).toEqual([missing.message, missing.reason]);
  await spend(holder, nodeIds, limit, 2);
  await holder.ship(() => true);
  await reset();
  const events = await metering.query(
    "SELECT actor_key_id, before->'used' AS used FROM audit_event WHERE target_id = $1 AND action = 'gatehouse.limits.reset' AND outcome = 'OK'",
    [limit.id],
  );
  expect(events).toEqual([{ actor_key_id: root.id, used: 2 }]);
});
