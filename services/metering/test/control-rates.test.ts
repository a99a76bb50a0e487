import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { rate as rates } from "@gatehouse/buckets";
import { Enforcement, type Rate, Window } from "@gatehouse/proto/metering";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { putRateStates } from "../src/storage/rate-row.ts";
import { IdentityLog, startMetering, type TestKey, type TestMetering } from "./fixture.ts";

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

const rate = (units: bigint, intervalMs = 3_600_000) =>
  ({ case: "rate", value: { units, interval: durationFromMs(intervalMs) } as Rate }) as const;
const daily = { case: "quota", value: { units: 0n, window: Window.DAY } } as const;

let made = 0;
async function organization() {
  const account = identity.account(identity.root, `org-${++made}`);
  const team = identity.account(account, `team-${made}`);
  const keys = {
    master: identity.key(account),
    team: identity.key(team, "ACCOUNT"),
  };
  await metering.follower.prove();
  const node = { case: "account", value: account.id } as const;
  const limit = async (resource: string, allowance: ReturnType<typeof rate> | typeof daily, more = {}) =>
    (await metering.limits(root).setLimit({ node, resource, allowance, ...more }, { timeoutMs })).limit!;
  return { account, team, keys, limit };
}

const list = (key: TestKey) => metering.limits(key).listLimits({}, { timeoutMs });
const charge = (nodeIds: string[], scope: string) =>
  metering.control.chargeCall({ nodeIds, scope }, { timeoutMs });

test("a rate on Gatehouse's own scopes is charged by the calls that take them, above the account too", async () => {
  const { account, keys, limit } = await organization();
  const { id } = await limit("gatehouse.limits.read", rate(3n));
  await list(keys.team);
  await list(keys.master);
  await list(keys.team);
  const refused = { code: "RESOURCE_EXHAUSTED", reason: "RATE_LIMITED" };
  const quota = [{ subject: `account:${account.id}`, description: id }];
  await expect(list(keys.master)).rejects.toMatchObject({ ...refused, quota });
  // Who is below is not told whose limit it is.
  const error = await list(keys.team).catch((error) => error);
  expect(error).toMatchObject(refused);
  expect(JSON.stringify(error.quota)).not.toContain(id);
  expect(error.retryAfterMs).toBeGreaterThan(1_100_000);
  expect(error.retryAfterMs).toBeLessThanOrEqual(1_200_000);
  metering.time.offsetMs = error.retryAfterMs;
  await list(keys.master);
  await expect(list(keys.master)).rejects.toMatchObject(refused);
});

test("quotas, and limits on anything else, are not charged and refuse nothing", async () => {
  const { account, keys, limit } = await organization();
  await limit("", daily);
  await limit("gatehouse.**", daily);
  await limit("**", rate(1n));
  for (let i = 0; i < 3; i++) await list(keys.master);
  const usage = await metering.query("SELECT FROM usage_minute WHERE account_id = $1", [account.id]);
  expect(usage).toEqual([]);
});

test("what takes something away is never refused", async () => {
  const { account, team, keys, limit } = await organization();
  const node = { case: "account", value: team.id } as const;
  const set = () => metering.limits(keys.master).setLimit({ node, allowance: daily }, { timeoutMs });
  const { limit: own } = await set();
  await limit("gatehouse.**", rate(1n));
  await set();
  await expect(set()).rejects.toMatchObject({ reason: "RATE_LIMITED" });
  await metering.limits(keys.master).deleteLimit({ limit: own!.id }, { timeoutMs });
  expect((await charge([account.id], "gatehouse.keys.create")).limitId).not.toBe("");
});

test("one that only warns counts and refuses nothing; all are charged or none", async () => {
  const { account, keys, limit } = await organization();
  const warns = await limit("gatehouse.**", rate(1n), { enforcement: Enforcement.WARN });
  await limit("gatehouse.limits.*", rate(2n));
  await list(keys.master);
  await list(keys.master);
  await expect(list(keys.master)).rejects.toMatchObject({ reason: "RATE_LIMITED" });
  const node = { case: "account", value: account.id } as const;
  const { allowances } = await metering.limits(root).getAllowance({ node }, { timeoutMs });
  expect(allowances.find(({ limit }) => limit!.id === warns.id)!.remaining).toBe(-1n);
});

test("identity is told for how long it need not ask again", async () => {
  const { account, limit } = await organization();
  expect(await charge([account.id], "gatehouse.keys.create")).toMatchObject({ freeFor: { seconds: 1n } });
  const { id } = await limit("gatehouse.keys.create", rate(1n, 10_000));
  expect((await charge([account.id], "gatehouse.keys.read")).freeFor).toBeUndefined();
  expect((await charge([account.id], "gatehouse.keys.create")).limitId).toBe("");
  const refused = await charge([account.id], "gatehouse.keys.create");
  expect(refused).toMatchObject({ limitId: id, nodeId: account.id });
  expect(Number(refused.retryAfter!.seconds)).toBeLessThanOrEqual(10);
  await expect(charge([], "gatehouse.keys.create")).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
});

test("of calls at once exactly as many pass as there are", async () => {
  const { account, limit } = await organization();
  await limit("gatehouse.keys.create", rate(10n));
  const answers = await Promise.all(
    Array.from({ length: 30 }, () => charge([account.id], "gatehouse.keys.create")),
  );
  expect(answers.filter(({ limitId }) => limitId === "")).toHaveLength(10);
});

test("replicas that restore the same rates in other orders wait for each other once", async () => {
  const state = rates.openEmpty({ units: 1, intervalMs: 1, burst: 0 }, 0);
  const [first, second] = [`lim_${"a".repeat(20)}`, `lim_${"b".repeat(20)}`];
  const there = { limitId: first, state };
  const [locked, finish] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let runs = 0;
  const one = metering.changeLog.commit(async ({ manager }) => {
    runs++;
    await manager.query("SET LOCAL idle_in_transaction_session_timeout = 0");
    await putRateStates(manager, [there], { keep: true });
    locked.resolve();
    await finish.promise;
    // Unless the other has it and waits for what this has, it is free.
    await manager.query("SET LOCAL lock_timeout = 100");
    await putRateStates(manager, [{ limitId: second, state }], { keep: true });
  });
  await locked.promise;
  const other = metering.changeLog.commit(({ manager }) =>
    putRateStates(manager, [{ limitId: second, state }, there], { keep: true }),
  );
  const waiting = "SELECT FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted";
  await expect.poll(() => metering.query(waiting, [])).toHaveLength(1);
  finish.resolve();
  await Promise.all([one, other]);
  expect(runs).toBe(1);
});

test("a rate whose state was lost begins empty, and refills", async () => {
  const { account, limit } = await organization();
  const { id } = await limit("gatehouse.keys.create", rate(1n, 10_000));
  await metering.query("DELETE FROM rate_bucket WHERE limit_id = $1", [id]);
  expect((await charge([account.id], "gatehouse.keys.create")).limitId).toBe(id);
  metering.time.offsetMs = 10_000;
  expect((await charge([account.id], "gatehouse.keys.create")).limitId).toBe("");
});
