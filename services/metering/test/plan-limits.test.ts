import type { AccountNode } from "@gatehouse/access";
import { Enforcement, LimitSource, AskResult_Outcome as Outcome, Window } from "@gatehouse/proto/metering";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { LimitTerms } from "../src/domain/limit.ts";
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

const daily = (units: number, more: Partial<LimitTerms> = {}): LimitTerms => ({
  meter: "requests",
  resource: "",
  allowance: { kind: "QUOTA", units, window: "DAY", timeZone: "UTC", anchorMs: undefined },
  enforcement: "ENFORCE",
  ...more,
});
const burst = (units: number): LimitTerms => ({
  ...daily(0),
  allowance: { kind: "RATE", units: 1, intervalMs: 3_600_000, burst: units },
});

let made = 0;
const planName = () => `plan-${++made}`;

async function organization(plan: string) {
  let account: AccountNode = identity.change({
    ...identity.account(identity.root, `org-${++made}`),
    plan,
  });
  await metering.follower.prove();
  const node = { case: "account", value: account.id } as const;
  const limits = () => metering.limits(root);
  return {
    id: account.id,
    holder: new Holder(metering, `h-${made}`),
    async move(to: string) {
      account = identity.change({ ...account, plan: to });
      await metering.follower.prove();
    },
    set: async (units: bigint) => {
      const allowance = { case: "quota", value: { units, window: Window.DAY } } as const;
      return (await limits().setLimit({ node, allowance }, { timeoutMs })).limit!;
    },
    remove: (limit: string) => limits().deleteLimit({ limit }, { timeoutMs }),
    list: async () => (await limits().listLimits({ node }, { timeoutMs })).limits,
    allowances: async () => (await limits().getAllowance({ node }, { timeoutMs })).allowances,
  };
}

type Organization = Awaited<ReturnType<typeof organization>>;

async function use({ holder, id, list }: Organization, units: number) {
  await holder.acquire([id], { requests: units }, { want: units });
  const limitIds = (await list()).map((limit) => limit.id);
  for (let i = 0; i < units; i++) expect(holder.spend(limitIds)).toBe(true);
  await holder.ship(() => true);
}

const unitsOf = (limits: readonly { allowance: { value?: unknown } }[]) =>
  limits.map(({ allowance }) => (allowance.value as { units: bigint }).units);

test("an organization has its plan's limits from the first call on, and says where they come from", async () => {
  const plan = planName();
  identity.plan(plan, [daily(5), daily(9, { resource: "orders.**", enforcement: "WARN" })]);
  const one = await organization(plan);
  const { results, limits } = await one.holder.acquire([one.id], { requests: 6 });
  expect(results[0]!.outcome).toBe(Outcome.EXHAUSTED);
  expect(limits[0]!.limits).toHaveLength(2);
  expect(await one.list()).toMatchObject([
    { nodeId: one.id, source: LimitSource.PLAN, resource: "", allowance: { value: { units: 5n } } },
    { source: LimitSource.PLAN, resource: "orders.**", enforcement: Enforcement.WARN },
  ]);
  expect(await one.allowances()).toMatchObject([
    { limit: { source: LimitSource.PLAN }, remaining: 5n },
    { remaining: 9n },
  ]);
});

test("a plan that changes is everywhere about as soon as the mirror has it, and what was used stays used", async () => {
  const plan = planName();
  identity.plan(plan, [daily(5), burst(3)]);
  const [one, other] = [await organization(plan), await organization(plan)];
  await use(one, 2);
  const before = await one.list();
  identity.plan(plan, [daily(8), burst(7), daily(1, { resource: "new" })]);
  await metering.follower.prove();
  const rows = () =>
    metering.query<{ node_id: string }>(
      "SELECT node_id FROM node_limit WHERE node_id = ANY($1) AND units = 8",
      [[one.id, other.id]],
    );
  await expect.poll(rows).toHaveLength(2);
  const after = await one.allowances();
  expect(after.slice(0, 2).map(({ limit }) => limit!.id)).toEqual(before.map(({ id }) => id));
  expect(after).toMatchObject([{ used: 2n, remaining: 6n }, { remaining: 5n }, { remaining: 1n }]);
  identity.plan(plan, []);
  await metering.follower.prove();
  expect(await one.list()).toEqual([]);
});

test("a limit that is lowered with the plan, or goes with it, is called back", async () => {
  const plan = planName();
  identity.plan(plan, [daily(20)]);
  const one = await organization(plan);
  await one.holder.answerRecalls();
  await one.holder.acquire([one.id], { requests: 1 }, { want: 8 });
  const [limit] = await one.list();
  identity.plan(plan, [daily(1)]);
  await metering.follower.prove();
  await expect.poll(() => one.holder.recalled).toEqual([limit!.id]);
  // Once what was lent is told to be unspent.
  const granted = async () => (await one.holder.acquire([one.id], { requests: 1 })).results[0]!.outcome;
  await expect.poll(granted).toBe(Outcome.GRANTED);
  identity.plan(plan, []);
  await metering.follower.prove();
  await expect.poll(() => one.holder.recalled).toEqual([limit!.id, limit!.id]);
  one.holder.stop();
});

test("a limit that is set stands in the place of the plan's, and its end brings the plan's back", async () => {
  const plan = planName();
  identity.plan(plan, [daily(5)]);
  const one = await organization(plan);
  await use(one, 2);
  const [ofPlan] = await one.list();
  const refused = { code: "FAILED_PRECONDITION", reason: "IN_USE" };
  await expect(one.remove(ofPlan!.id)).rejects.toMatchObject(refused);

  const own = await one.set(50n);
  expect(own).toMatchObject({ id: ofPlan!.id, source: LimitSource.OWN });
  expect(await one.allowances()).toMatchObject([{ used: 2n, remaining: 48n }]);
  identity.plan(plan, [daily(7)]);
  await metering.follower.prove();
  expect(unitsOf(await one.list())).toEqual([50n]);

  await one.remove(own.id);
  expect(await one.allowances()).toMatchObject([
    { limit: { id: ofPlan!.id, source: LimitSource.PLAN }, used: 2n, remaining: 5n },
  ]);
  const again = await one.set(9n);
  identity.plan(plan, []);
  await metering.follower.prove();
  await one.remove(again.id);
  expect(await one.list()).toEqual([]);
});

test("a limit that the plan's takes the place of waits for who lends of it", async () => {
  const plan = planName();
  identity.plan(plan, [daily(5)]);
  const one = await organization(plan);
  const { id } = await one.set(9n);
  await use(one, 1);
  const [locked, finish] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const lending = metering.changeLog.commit(async ({ manager }) => {
    await manager.query("SET LOCAL idle_in_transaction_session_timeout = 0");
    await manager.query("SELECT FROM quota_bucket WHERE limit_id = $1 FOR UPDATE", [id]);
    locked.resolve();
    await finish.promise;
  });
  await locked.promise;
  const removed = one.remove(id);
  const waiting = "SELECT FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted";
  await expect.poll(() => metering.query(waiting, [])).toHaveLength(1);
  finish.resolve();
  await Promise.all([lending, removed]);
  expect(unitsOf(await one.list())).toEqual([5n]);
});

test("an organization that changes its plan keeps what it used of what both have", async () => {
  const [small, large] = [planName(), planName()];
  identity.plan(small, [daily(5), burst(5)]);
  identity.plan(large, [daily(100), daily(1, { resource: "extra" })]);
  const one = await organization(small);
  await use(one, 3);
  await one.move(large);
  expect(await one.allowances()).toMatchObject([
    { used: 3n, remaining: 97n },
    { limit: { resource: "extra" }, remaining: 1n },
  ]);
  await one.move(small);
  expect(await one.allowances()).toMatchObject([{ used: 3n, remaining: 2n }, { remaining: 5n }]);
});

test("a plan's limits are beside fifty of one's own", async () => {
  const plan = planName();
  identity.plan(
    plan,
    Array.from({ length: 50 }, (_, i) => daily(1, { resource: `p${i}` })),
  );
  const one = await organization(plan);
  const node = { case: "account", value: one.id } as const;
  const allowance = { case: "quota", value: { units: 1n, window: Window.DAY } } as const;
  const set = (resource: string) =>
    metering.limits(root).setLimit({ node, allowance, resource }, { timeoutMs });
  for (let i = 0; i < 50; i++) await set(i < 5 ? `p${i}` : `own${i}`);
  expect(await one.list()).toHaveLength(95);
  await expect(set("p49")).rejects.toMatchObject({ code: "RESOURCE_EXHAUSTED" });
  expect((await set("own49")).limit!.source).toBe(LimitSource.OWN);
});

test("the mirror writes one row however many organizations a plan has, and they follow a hundred at a time", async () => {
  const plan = planName();
  identity.plan(plan, [daily(5), burst(5)]);
  await metering.follower.prove();
  const orgs = Array.from({ length: 1000 }, (_, i) => `acc_many_${i}`);
  await metering.query(
    "INSERT INTO organization_plan (account_id, plan, version) SELECT unnest($1::text[]), $2, 0",
    [orgs, plan],
  );
  const having = async (units: number) => {
    const [row] = await metering.query<{ count: number }>(
      "SELECT count(*)::int AS count FROM node_limit WHERE node_id LIKE 'acc_many_%' AND kind = 'QUOTA' AND units = $1",
      [units],
    );
    return row!.count;
  };
  await expect.poll(() => having(5), { timeout: 10_000 }).toBe(1000);
  const versions = await metering.query<{ version: string }>(
    "SELECT DISTINCT version FROM organization_plan WHERE plan = $1",
    [plan],
  );
  identity.plan(plan, [daily(6), burst(5)]);
  await metering.follower.prove();
  const [{ version }] = (await metering.query("SELECT version FROM plan WHERE name = $1", [plan])) as [
    { version: string },
  ];
  expect(versions).toHaveLength(1);
  expect(Number(version)).toBeGreaterThan(Number(versions[0]!.version));
  await expect.poll(() => having(6), { timeout: 10_000 }).toBe(1000);
  const told = await metering.query<{ count: number }>(
    "SELECT count(*)::int AS count FROM change_log WHERE entity_id LIKE 'acc_many_%'",
    [],
  );
  expect(told[0]!.count).toBe(2000);
}, 30_000);

test("a mirror that is read anew changes nothing where nothing changed", async () => {
  const plan = planName();
  identity.plan(plan, [daily(5)]);
  const one = await organization(plan);
  const [limit] = await one.list();
  const { head } = await metering.feed.getHead({}, { timeoutMs });
  identity.incarnation = crypto.randomUUID();
  await metering.follower.prove();
  expect(await one.list()).toEqual([limit]);
  expect((await metering.feed.getHead({}, { timeoutMs })).head).toEqual(head);
});
