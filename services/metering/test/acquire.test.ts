import { Enforcement, AskResult_Outcome as Outcome, Window } from "@gatehouse/proto/metering";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { IdentityLog, startMetering, type TestKey, type TestMetering } from "./fixture.ts";
import { Holder } from "./holder.ts";

const timeoutMs = 5000;
const identity = new IdentityLog();
let postgres: TestPostgres;
let metering: TestMetering;
let root: TestKey;
let holders: Holder[];

beforeAll(async () => {
  root = identity.key(identity.root);
  postgres = await startTestPostgres();
  metering = await startMetering(postgres.url, identity);
});

afterAll(async () => {
  await metering?.stop();
  await postgres?.stop();
});

beforeEach(() => {
  holders = [];
  metering.time.offsetMs = 0;
  return () => {
    for (const holder of holders) holder.stop();
  };
});

let made = 0;
/** An organization with a key; the nodes that its calls are charged to. */
async function organization() {
  const account = identity.account(identity.root, `org-${++made}`);
  const key = identity.key(account);
  await metering.follower.prove();
  return { account, key, nodeIds: [key.id, account.id, identity.root.id] };
}

async function quota(accountId: string, units: number, more: object = {}): Promise<string> {
  const { limit } = await metering.limits(root).setLimit(
    {
      node: { case: "account", value: accountId },
      allowance: { case: "quota", value: { units: BigInt(units), window: Window.MONTH } },
      ...more,
    },
    { timeoutMs },
  );
  return limit!.id;
}

async function holder(producer: string, epoch = 1n): Promise<Holder> {
  const made = new Holder(metering, `${producer}-${crypto.randomUUID()}`, epoch);
  holders.push(made);
  await made.answerRecalls();
  return made;
}

test("exactly N of N are admitted with two holders that answer recalls", async () => {
  const { account, nodeIds } = await organization();
  const limitId = await quota(account.id, 40);
  const two = await Promise.all([holder("a"), holder("b")]);
  let admitted = 0;
  const callers = two
    .flatMap((each) => [each, each])
    .map(async (each) => {
      while (await each.use(nodeIds, [limitId], 8)) admitted++;
    });
  await Promise.all(callers);
  expect(admitted).toBe(40);
  await Promise.all(two.map((each) => each.ship(() => true)));
  const { allowances } = await metering
    .limits(root)
    .getAllowance({ node: { case: "account", value: account.id } }, { timeoutMs });
  expect(allowances.map(({ used, leased, remaining }) => [used, leased, remaining])).toEqual([[40n, 0n, 0n]]);
});

test("while a silent holder has units it is not now, and exhausted once they are forfeited", async () => {
  const { account, nodeIds } = await organization();
  const limitId = await quota(account.id, 10);
  const silent = new Holder(metering, "silent");
  expect((await silent.acquire(nodeIds, { requests: 10 })).results[0]!.outcome).toBe(Outcome.GRANTED);
  const other = await holder("other");
  const { results } = await other.acquire(nodeIds, { requests: 1 });
  expect(results[0]).toMatchObject({ outcome: Outcome.NOT_NOW, limitId });
  expect(results[0]!.retryAfter).toBeDefined();
  metering.time.offsetMs = 64_000;
  expect((await other.acquire(nodeIds, { requests: 1 })).results[0]!.outcome).toBe(Outcome.NOT_NOW);
  metering.time.offsetMs = 66_000;
  const late = await other.acquire(nodeIds, { requests: 1 });
  expect(late.results[0]).toMatchObject({ outcome: Outcome.EXHAUSTED, limitId, remaining: 0n });

  // Its spool speaks after all: 4 of 10 were spent, the others were not.
  for (let i = 0; i < 4; i++) silent.spend([limitId]);
  await silent.ship(() => true);
  const { allowances } = await metering
    .limits(root)
    .getAllowance({ node: { case: "account", value: account.id } }, { timeoutMs });
  expect(allowances[0]).toMatchObject({ used: 4n, leased: 0n, remaining: 6n });
});

test("an older epoch of the same producer is another holder, waited for until it is forfeited", async () => {
  const { account, nodeIds } = await organization();
  await quota(account.id, 5);
  const producer = `crashed-${crypto.randomUUID()}`;
  await new Holder(metering, producer, 1n).acquire(nodeIds, { requests: 5 });
  const { results } = await new Holder(metering, producer, 2n).acquire(nodeIds, { requests: 1 });
  expect(results[0]!.outcome).toBe(Outcome.NOT_NOW);
});

test("a holder that has units itself and needs more is told that the bucket is exhausted", async () => {
  const { account, nodeIds } = await organization();
  await quota(account.id, 5);
  const alone = await holder("alone");
  await alone.acquire(nodeIds, { requests: 5 });
  const { results } = await alone.acquire(nodeIds, { requests: 1 });
  // What it holds may be on its way back: with that there would be five.
  expect(results[0]).toMatchObject({ outcome: Outcome.EXHAUSTED, remaining: 0n, leased: 5n });
});

test("all buckets or none, at every level, and nothing stays taken after a refusal", async () => {
  const { account, key, nodeIds } = await organization();
  const wide = await quota(account.id, 100);
  const { limit } = await metering.limits(identity.key(account)).setLimit(
    {
      node: { case: "key", value: key.id },
      allowance: { case: "quota", value: { units: 1n, window: Window.DAY } },
    },
    { timeoutMs },
  );
  const one = await holder("one");
  const granted = await one.acquire(nodeIds, { requests: 1 }, { want: 1 });
  expect(granted.leases.map(({ limitId }) => limitId).sort()).toEqual([wide, limit!.id].sort());
  const refused = await one.acquire(nodeIds, { requests: 1 }, { want: 1 });
  expect(refused.results[0]).toMatchObject({ outcome: Outcome.EXHAUSTED, limitId: limit!.id });
  expect(refused.leases).toEqual([]);
  const { allowances } = await metering
    .limits(root)
    .getAllowance({ node: { case: "account", value: account.id } }, { timeoutMs });
  expect(allowances[0]).toMatchObject({ leased: 1n, remaining: 99n });
});

test("every bad field is named at once", async () => {
  const asked = metering.leases.acquire(
    {
      holder: "a/1",
      identityFreshness: "",
      asks: [
        { nodeIds: [], needs: [{ meter: "", units: -1n }], wants: [{ limitId: "", units: -1n }] },
        { nodeIds: ["\0"], resource: "r".repeat(257) },
      ],
      reports: [{ leaseId: "", reported: -1n, spends: [{ units: -1n }] }],
    },
    { timeoutMs },
  );
  const fields = asked.catch(({ violations }) => violations.map(({ field }: { field: string }) => field));
  expect(await fields).toEqual([
    "asks[0].node_ids",
    "asks[0].needs[0].meter",
    "asks[0].needs[0].units",
    "asks[0].wants[0].limit_id",
    "asks[0].wants[0].units",
    "asks[1].node_ids[0]",
    "asks[1].resource",
    "reports[0].lease_id",
    "reports[0].reported",
    "reports[0].spends[0].units",
  ]);
  const invalid = { code: "INVALID_ARGUMENT" };
  await expect(metering.leases.acquire({ holder: "nobody" }, { timeoutMs })).rejects.toMatchObject(invalid);
  const token = { holder: "a/1", identityFreshness: "token" };
  await expect(metering.leases.acquire(token, { timeoutMs })).rejects.toMatchObject({
    violations: [{ field: "identity_freshness" }],
  });
  const stream = metering.leases.watchRecalls({ holder: "nobody" }, { timeoutMs });
  await expect(stream[Symbol.asyncIterator]().next()).rejects.toMatchObject({
    violations: [{ field: "holder" }],
  });
});

test("a limit that only warns gives what is needed, below zero", async () => {
  const { account, nodeIds } = await organization();
  await quota(account.id, 1, { enforcement: 2 });
  const one = await holder("one");
  const { results, leases } = await one.acquire(nodeIds, { requests: 3 });
  expect(results[0]!.outcome).toBe(Outcome.GRANTED);
  expect(leases[0]).toMatchObject({ units: 3n, remaining: -2n });
});

test("a limit that only warns lends no more than can be counted, and harms nobody else", async () => {
  const warned = await organization();
  const other = await organization();
  await quota(warned.account.id, 10, { enforcement: Enforcement.WARN });
  await quota(other.account.id, 10);
  const most = BigInt(Number.MAX_SAFE_INTEGER);
  const ask = (nodeIds: string[], units: bigint) => ({ nodeIds, needs: [{ meter: "requests", units }] });
  const acquire = (asks: ReturnType<typeof ask>[]) =>
    metering.leases.acquire({ holder: "greedy/1", asks }, { timeoutMs });
  for (let i = 0; i < 3; i++) await acquire([ask(warned.nodeIds, most)]);
  const { results } = await acquire([ask(warned.nodeIds, most), ask(other.nodeIds, 1n)]);
  expect(results[1]!.outcome).toBe(Outcome.GRANTED);
  const node = { case: "account" as const, value: warned.account.id };
  const { allowances } = await metering.limits(root).getAllowance({ node }, { timeoutMs });
  expect(allowances[0]!.leased).toBe(most);
});

test("a pattern counts what it matches, and no call without a resource", async () => {
  const { account, nodeIds } = await organization();
  await quota(account.id, 5, { resource: "orders.**" });
  const one = await holder("one");
  expect((await one.acquire(nodeIds, { requests: 1 })).leases).toEqual([]);
  expect((await one.acquire(nodeIds, { requests: 1 }, { resource: "weather.read" })).leases).toEqual([]);
  expect((await one.acquire(nodeIds, { requests: 1 }, { resource: "orders.create" })).leases).toHaveLength(1);
});

test("wants without needs fill up in the background and are never refused", async () => {
  const { account, nodeIds } = await organization();
  await quota(account.id, 100);
  const one = await holder("one");
  const { results, leases } = await one.acquire(nodeIds, {}, { want: 20 });
  expect(results[0]!.outcome).toBe(Outcome.GRANTED);
  expect(leases[0]!.units).toBe(20n);
});

test("a holder that has units of one bucket in hand gets what it lacks of another", async () => {
  const { account, nodeIds } = await organization();
  const held = await quota(account.id, 5);
  const one = await holder("one");
  await one.acquire(nodeIds, { requests: 5 });
  const lacked = await quota(account.id, 5, { resource: "**" });
  const ask = { nodeIds, resource: "orders", needs: [{ meter: "requests", units: 1n }] };
  const acquire = (wants: { limitId: string; units: bigint }[]) =>
    metering.leases.acquire({ holder: one.name, asks: [{ ...ask, wants }] }, { timeoutMs });
  expect((await acquire([])).results[0]).toMatchObject({ outcome: Outcome.EXHAUSTED, limitId: held });
  const { results, leases } = await acquire([{ limitId: held, units: 0n }]);
  expect(results[0]!.outcome).toBe(Outcome.GRANTED);
  expect(leases.map(({ limitId }) => limitId)).toEqual([lacked]);
});

test("a window's bucket ends with it, and leases with the bucket", async () => {
  const { account, nodeIds } = await organization();
  const { limit } = await metering.limits(root).setLimit(
    {
      node: { case: "account", value: account.id },
      allowance: { case: "quota", value: { units: 2n, window: Window.MINUTE } },
    },
    { timeoutMs },
  );
  const one = await holder("one");
  const { leases } = await one.acquire(nodeIds, { requests: 2 });
  expect(leases[0]!.limitId).toBe(limit!.id);
  expect(Number(leases[0]!.windowEnd) % 60_000).toBe(0);
  expect((await one.acquire(nodeIds, { requests: 1 })).results[0]!.outcome).toBe(Outcome.EXHAUSTED);
  metering.time.offsetMs = 60_000;
  expect((await one.acquire(nodeIds, { requests: 2 })).results[0]!.outcome).toBe(Outcome.GRANTED);
});

test("a rate of one a second gives one a second, with reports that come late", async () => {
  const { account, nodeIds } = await organization();
  await metering.limits(root).setLimit(
    {
      node: { case: "account", value: account.id },
      allowance: { case: "rate", value: { units: 1n, interval: { seconds: 1n, nanos: 0 }, burst: 1n } },
    },
    { timeoutMs },
  );
  let admitted = 0;
  let held: string | undefined;
  for (let at = 0; at <= 10_000; at += 500) {
    metering.time.offsetMs = at;
    const reports =
      held === undefined
        ? []
        : [
            {
              leaseId: held,
              reported: 0n,
              spends: [{ units: 1n, age: { seconds: 0n, nanos: 500_000_000 } }],
              closed: true,
            },
          ];
    const { leases } = await metering.leases.acquire(
      { holder: "rates/1", asks: [{ nodeIds, needs: [{ meter: "requests", units: 1n }] }], reports },
      { timeoutMs },
    );
    held = leases[0]?.id;
    admitted += leases.length;
  }
  expect(admitted).toBe(11);
});

test("a rate lease that nobody reports counts as spent", async () => {
  const { account, nodeIds } = await organization();
  await metering.limits(root).setLimit(
    {
      node: { case: "account", value: account.id },
      allowance: { case: "rate", value: { units: 10n, interval: { seconds: 3600n, nanos: 0 } } },
    },
    { timeoutMs },
  );
  await new Holder(metering, "gone").acquire(nodeIds, { requests: 10 });
  const other = new Holder(metering, "other");
  expect((await other.acquire(nodeIds, { requests: 1 })).results[0]!.outcome).toBe(Outcome.NOT_NOW);
  metering.time.offsetMs = 8000;
  const { results } = await other.acquire(nodeIds, { requests: 1 });
  expect(results[0]!.outcome).toBe(Outcome.EXHAUSTED);
  expect(Number(results[0]!.retryAfter!.seconds)).toBeGreaterThan(300);
});

test("a refusal by a quota says when its window ends, by one that never ends and by a rate nothing", async () => {
  const windowEnd = async (allowance: object) => {
    const { account, nodeIds } = await organization();
    const limitId = await quota(account.id, 1, { allowance });
    const one = new Holder(metering, `silent-${crypto.randomUUID()}`);
    const { leases } = await one.acquire(nodeIds, { requests: 1 });
    const { results } = await one.acquire(nodeIds, { requests: 1 });
    expect(results[0]).toMatchObject({ outcome: Outcome.EXHAUSTED, limitId });
    const waits = await (await holder("two")).acquire(nodeIds, { requests: 1 });
    expect(waits.results[0]).toMatchObject({ outcome: Outcome.NOT_NOW, limitId });
    expect(waits.results[0]!.windowEnd).toBe(results[0]!.windowEnd);
    expect(results[0]!.windowEnd).toBe(leases[0]!.windowEnd);
    return results[0]!.windowEnd;
  };
  const ending = await windowEnd({ case: "quota", value: { units: 1n, window: Window.DAY } });
  expect(Number(ending)).toBe(Math.floor(Date.now() / 86_400_000 + 1) * 86_400_000);
  expect(await windowEnd({ case: "quota", value: { units: 1n, window: Window.NEVER } })).toBe(0n);
  expect(await windowEnd({ case: "rate", value: { units: 1n, interval: { seconds: 60n, nanos: 0 } } })).toBe(
    0n,
  );
});

test.each([
  ["rate", { case: "rate", value: { units: 100n, interval: { seconds: 1n, nanos: 0 }, burst: 5n } }],
  ["quota", { case: "quota", value: { units: 5n, window: Window.DAY } }],
])(
  "a call that needs more than a %s ever has is refused at once, and not told to retry",
  async (_, allowance) => {
    const { account, nodeIds } = await organization();
    const limitId = await quota(account.id, 0, { allowance });
    const other = await holder("other");
    await other.acquire(nodeIds, { requests: 5 });
    const one = await holder("one");
    const { results } = await one.acquire(nodeIds, { requests: 6 });
    expect(results[0]).toMatchObject({ outcome: Outcome.EXHAUSTED, limitId });
    expect(results[0]!.retryAfter).toBeUndefined();
    expect(other.recalled).toEqual([]);
    // What it might have some day it is told when to ask for.
    expect((await other.acquire(nodeIds, { requests: 5 })).results[0]!.retryAfter).toBeDefined();
  },
);

test("lowering calls leases back and raising keeps what was used", async () => {
  const { account, nodeIds } = await organization();
  const limitId = await quota(account.id, 10);
  const one = await holder("one");
  for (let i = 0; i < 4; i++) expect(await one.use(nodeIds, [limitId], 10)).toBe(true);
  expect(await quota(account.id, 2)).toBe(limitId);
  await expect.poll(() => one.recalled).toContain(limitId);
  // What it gives back is there once its batch is taken.
  await expect
    .poll(async () => (await one.acquire(nodeIds, { requests: 1 })).results[0])
    .toMatchObject({ outcome: Outcome.EXHAUSTED, remaining: -2n });
  await quota(account.id, 5);
  expect(await one.use(nodeIds, [limitId])).toBe(true);
  expect(await one.use(nodeIds, [limitId])).toBe(false);
});

test("the mirror is as fresh as the ask relies on; what it does not know then does not exist", async () => {
  const account = identity.account(identity.root, `org-${++made}`);
  const one = await holder("one");
  const known = await one.acquire([account.id], { requests: 1 }, { position: identity.position });
  expect(known.results[0]!.outcome).toBe(Outcome.GRANTED);
  const unknown = await one.acquire(["acc_none"], { requests: 1 }, { position: identity.position });
  expect(unknown.results[0]!.outcome).toBe(Outcome.UNKNOWN_NODE);
  const noMeter = await one.acquire([account.id], { tokens: 1 }, { position: identity.position });
  expect(noMeter.results[0]!.outcome).toBe(Outcome.UNKNOWN_METER);
  const neither = await one.acquire(["acc_none"], { tokens: 1 }, { position: identity.position });
  expect(neither.results[0]!.outcome).toBe(Outcome.UNKNOWN_NODE);
  const ahead = { ...identity.position, revision: 1_000_000 };
  const unreachable = { code: "FAILED_PRECONDITION", reason: "FRESHNESS_UNREACHABLE" };
  await expect(one.acquire([account.id], {}, { position: ahead })).rejects.toMatchObject(unreachable);
  const foreign = { ...identity.position, incarnation: crypto.randomUUID() };
  await expect(one.acquire([account.id], {}, { position: foreign })).rejects.toMatchObject(unreachable);
});
