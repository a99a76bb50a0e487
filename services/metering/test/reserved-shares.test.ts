import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { AskResult_Outcome as Outcome, type SetLimitRequestSchema, Window } from "@gatehouse/proto/metering";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { IdentityLog, startMetering, type TestKey, type TestMetering } from "./fixture.ts";
import { Holder } from "./holder.ts";

const timeoutMs = 5000;
const identity = new IdentityLog();
const root = identity.key(identity.root);
let postgres: TestPostgres;
let metering: TestMetering;

beforeAll(async () => {
  postgres = await startTestPostgres();
  // Long enough that on the slowest machine what is called back comes within the wait.
  metering = await startMetering(postgres.url, identity, { waitMs: 3000 });
});

afterAll(async () => {
  await metering?.stop();
  await postgres?.stop();
});

type Request = MessageInitShape<typeof SetLimitRequestSchema>;
const daily = (units: bigint) => ({ case: "quota", value: { units, window: Window.DAY } }) as const;
const set = (key: TestKey, request: Request) => metering.limits(key).setLimit(request, { timeoutMs });
const faultsOf = (call: Promise<unknown>): Promise<string[]> =>
  call.then(
    () => [],
    ({ violations }) =>
      violations.map(({ field, description }: Record<string, string>) => `${field}: ${description}`),
  );

let made = 0;
/** An organization of 10 units a day with teams, and what each of its teams may do. */
async function organization(units = 10n) {
  const account = identity.account(identity.root, `org-${++made}`);
  const master = identity.key(account);
  const [a, b] = [identity.account(account, `a-${made}`), identity.account(account, `b-${made}`)];
  await metering.follower.prove();
  const node = { case: "account", value: account.id } as const;
  const limit = (await set(root, { node, allowance: daily(units) })).limit!;
  const nodesOf = (team: typeof a) => [team.id, account.id, identity.root.id];
  const share = async (
    team: typeof a,
    reservedShare: number,
    allowance = daily(100n),
    key: TestKey = root,
  ) => {
    const request = { node: { case: "account", value: team.id } as const, allowance, reservedShare };
    return (await set(key, request)).limit!;
  };
  const allowanceOf = async (team: typeof a) => {
    const request = { node: { case: "account", value: team.id } as const };
    const { allowances } = await metering.limits(root).getAllowance(request, { timeoutMs });
    const { remaining, reservedForOthers } = allowances.find(({ limit: each }) => each!.id === limit.id)!;
    return [Number(remaining), Number(reservedForOthers)];
  };
  return { account, master, node, limit, a, b, nodesOf, share, allowanceOf };
}

async function outcome(holder: Holder, nodeIds: readonly string[], units: number, want = units) {
  const answer = await holder.acquire(nodeIds, { requests: units }, { want });
  return { outcome: answer.results[0]!.outcome, leases: answer.leases };
}

test("what is kept for one, siblings cannot take; beyond it, it takes of what is common", async () => {
  const { a, b, limit, nodesOf, share, allowanceOf } = await organization();
  const kept = await share(a, 0.4);
  expect(kept.reservedShare).toBe(0.4);
  const holder = new Holder(metering, `kept-${made}`);
  expect(await allowanceOf(b)).toEqual([6, 4]);
  expect(await allowanceOf(a)).toEqual([10, 0]);
  expect((await outcome(holder, nodesOf(b), 7)).outcome).toBe(Outcome.EXHAUSTED);
  const { leases } = await outcome(holder, nodesOf(b), 6);
  expect(leases.map(({ limitId, units }) => [limitId, units])).toEqual([[limit.id, 6n]]);
  expect((await outcome(holder, nodesOf(b), 1)).outcome).not.toBe(Outcome.GRANTED);
  const mine = await outcome(holder, nodesOf(a), 4);
  const ofLimit = mine.leases.filter(({ limitId }) => limitId.startsWith(limit.id));
  expect(ofLimit.map(({ limitId, units }) => [limitId, units])).toEqual([[`${limit.id}@${a.id}`, 4n]]);
  expect(await allowanceOf(a)).toEqual([0, 0]);
});

test("one that has a share takes more where nobody else did, and both together no more than there is", async () => {
  const { a, b, nodesOf, share, allowanceOf } = await organization();
  await share(a, 0.3);
  await share(b, 0.3);
  const [one, other] = [new Holder(metering, `x-${made}`), new Holder(metering, `y-${made}`)];
  expect((await outcome(one, nodesOf(a), 8)).outcome).toBe(Outcome.EXHAUSTED);
  expect((await outcome(one, nodesOf(a), 7)).outcome).toBe(Outcome.GRANTED);
  expect(await allowanceOf(a)).toEqual([0, 3]);
  expect((await outcome(other, nodesOf(b), 3)).outcome).toBe(Outcome.GRANTED);
  expect(await allowanceOf(b)).toEqual([0, 0]);
});

test("units that come back go where they came from, and who waits for them gets them", async () => {
  const { a, b, nodesOf, share, allowanceOf } = await organization();
  await share(a, 0.5);
  const [one, other] = [new Holder(metering, `i-${made}`), new Holder(metering, `j-${made}`)];
  await one.answerRecalls();
  expect((await outcome(one, nodesOf(a), 8)).outcome).toBe(Outcome.GRANTED);
  // Of the eight, three were common: these are called back, from the same holder or another.
  expect((await outcome(other, nodesOf(b), 5)).outcome).toBe(Outcome.GRANTED);
  await expect.poll(() => allowanceOf(a)).toEqual([5, 0]);
  one.stop();
});

test("what is lent of a share is called back when usage of others leaves less than nothing", async () => {
  const { account, a, limit, nodesOf, share } = await organization();
  await share(a, 0.4);
  const holder = new Holder(metering, `overdrawn-${made}`);
  await holder.answerRecalls();
  expect((await outcome(holder, nodesOf(a), 4)).outcome).toBe(Outcome.GRANTED);
  const node = { case: "account", value: account.id } as const;
  const event = { id: "1", node, meter: "requests", units: 7n, time: timestampNow() };
  await metering.usage(root).reportUsage({ source: `backend-${made}`, events: [event] }, { timeoutMs });
  await expect.poll(() => holder.recalled).toContain(`${limit.id}@${a.id}`);
  holder.stop();
});

test("whatever two teams and the rest draw, nobody's part is taken and never more than there is", async () => {
  const draws = fc.array(
    fc.record({ who: fc.constantFrom("a", "b", "rest"), units: fc.integer({ min: 1, max: 6 }) }),
    { maxLength: 15 },
  );
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(0, 0.25, 0.5), fc.constantFrom(0, 0.3), draws, async (x, y, asked) => {
      const { account, a, b, nodesOf, share } = await organization(20n);
      if (x > 0) await share(a, x);
      if (y > 0) await share(b, y);
      const kept = new Map([["a", Math.floor(x * 20)] as const, ["b", Math.floor(y * 20)] as const]);
      const drawn = new Map<string, number>();
      const left = (who: string) =>
        ["a", "b", "rest"].reduce((sum, each) => {
          const [has = 0, keeps = 0] = [drawn.get(each), kept.get(each as "a")];
          return sum - (each === who ? has : Math.max(has, keeps));
        }, 20);
      const nodes = { a: nodesOf(a), b: nodesOf(b), rest: [account.id, identity.root.id] };
      const holder = new Holder(metering, `model-${made}`);
      for (const { who, units } of asked) {
        const answer = await outcome(holder, nodes[who], units);
        expect(answer.outcome === Outcome.GRANTED, `${who} ${units} of ${left(who)}`).toBe(
          units <= left(who),
        );
        if (answer.outcome !== Outcome.GRANTED) continue;
        drawn.set(who, (drawn.get(who) ?? 0) + units);
        const limitIds = [...new Set(answer.leases.map(({ limitId }) => limitId))];
        for (let i = 0; i < units; i++) expect(holder.spend(limitIds)).toBe(true);
        await holder.ship(() => true);
      }
    }),
    { numRuns: 15 },
  );
}, 60_000);

test("the shares of one bucket add up to at most 1, and one below another is refused", async () => {
  const { a, b, node, limit, master, share } = await organization();
  const c = identity.account(a, `c-${made}`);
  const key = identity.key(b, "ACCOUNT");
  await metering.follower.prove();
  await share(a, 0.7);
  const tooMuch = `reserved_share: the shares of ${limit.id} would add up to more than 1`;
  expect(await faultsOf(share(b, 0.4))).toEqual([tooMuch]);
  await share(b, 0.3);
  await share(a, 0.6);
  const onKey: Request = { node: { case: "key", value: key.id }, allowance: daily(1n), reservedShare: 0.1 };
  // The nearest above is the team's own, which has all of its own bucket to give.
  expect((await set(root, onKey)).limit!.reservedShare).toBe(0.1);
  const hourly = { case: "quota", value: { units: 1n, window: Window.HOUR } } as const;
  const none = "reserved_share: no quota of the same meter, resource and window is above the node";
  expect(await faultsOf(share(a, 0.1, hourly as never))).toEqual([none]);
  // A master key of the team's own account sees no bucket above: it can keep nothing of one.
  const own = identity.key(a);
  await metering.follower.prove();
  expect(await faultsOf(share(c, 0.1, daily(1n), own))).toEqual([]);
  expect(await faultsOf(share(a, 2))).toEqual(["reserved_share: must be 0 to 1"]);
  expect(await faultsOf(share(a, Number.NaN))).toEqual(["reserved_share: must be 0 to 1"]);
  const rate = { case: "rate", value: { units: 1n, interval: { seconds: 1n, nanos: 0 } } } as const;
  expect(
    await faultsOf(
      set(master, {
        ...node,
        ...{ node: { case: "account", value: a.id } },
        allowance: rate,
        reservedShare: 0.5,
      }),
    ),
  ).toEqual(["reserved_share: is for quotas"]);
});

test("a share that would be above another of the same bucket is refused", async () => {
  const { a, share, limit } = await organization();
  const c = identity.account(a, `c-${made}`);
  await metering.follower.prove();
  await share(c, 0.2);
  expect(await faultsOf(share(a, 0.2))).toEqual([
    `reserved_share: what is below the node has a share of ${limit.id} already`,
  ]);
});

test("who sets or ends a share keeps no round of lending waiting that it waits for", async () => {
  const { account, a, limit, share, nodesOf } = await organization();
  const own = await share(a, 0.4);
  const holder = new Holder(metering, `across-${made}`);
  // The organization's first: lending locks buckets in the order that they were opened in.
  await outcome(holder, [account.id, identity.root.id], 1);
  await outcome(holder, nodesOf(a), 1);
  const changes = [
    () => share(a, 0.5, daily(50n)),
    () => metering.limits(root).deleteLimit({ limit: own.id }, { timeoutMs }),
  ];
  for (const change of changes) {
    const [locked, finish] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const ofLimit = "SELECT FROM quota_bucket WHERE limit_id = $1 ORDER BY id FOR UPDATE";
    const lending = metering.changeLog.commit(async ({ manager }) => {
      await manager.query("SET LOCAL idle_in_transaction_session_timeout = 0");
      await manager.query(ofLimit, [limit.id]);
      locked.resolve();
      await finish.promise;
      return manager.query<unknown[]>(`${ofLimit} SKIP LOCKED`, [own.id]);
    });
    await locked.promise;
    const changed = change();
    const waiting = "SELECT FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted";
    await expect.poll(() => metering.query(waiting, [])).toHaveLength(1);
    finish.resolve();
    expect((await lending).value).toHaveLength(1);
    await changed;
  }
});

test("a share ends with the next setting, with its limit, and with the one above", async () => {
  const { a, b, node, limit, share, allowanceOf } = await organization();
  const kept = await share(a, 0.5);
  await share(a, 0);
  expect(await allowanceOf(b)).toEqual([10, 0]);
  await share(a, 0.5);
  expect(await allowanceOf(b)).toEqual([5, 5]);
  await metering.limits(root).deleteLimit({ limit: kept.id }, { timeoutMs });
  expect(await allowanceOf(b)).toEqual([10, 0]);
  await share(a, 0.5);
  await metering.limits(root).deleteLimit({ limit: limit.id }, { timeoutMs });
  await set(root, { node, allowance: daily(10n) });
  const { limits } = await metering
    .limits(root)
    .listLimits({ node: { case: "account", value: a.id } }, { timeoutMs });
  expect(limits).toMatchObject([{ reservedShare: 0 }]);
});

test("a share that comes late gets no more than is left, and one that goes leaves what it drew", async () => {
  const { a, b, nodesOf, share, allowanceOf } = await organization();
  const holder = new Holder(metering, `late-${made}`);
  expect((await outcome(holder, nodesOf(b), 8)).outcome).toBe(Outcome.GRANTED);
  await share(a, 0.5);
  expect(await allowanceOf(a)).toEqual([2, 0]);
  expect(await allowanceOf(b)).toEqual([0, 2]);
  expect((await outcome(holder, nodesOf(a), 3)).outcome).not.toBe(Outcome.GRANTED);
  expect((await outcome(holder, nodesOf(a), 1)).outcome).toBe(Outcome.GRANTED);
  await share(a, 0);
  expect(await allowanceOf(b)).toEqual([1, 0]);
  expect(await allowanceOf(a)).toEqual([1, 0]);
});

test("a reset empties the parts, too, and forgets nothing that is kept", async () => {
  const { a, b, limit, nodesOf, share, allowanceOf } = await organization();
  await share(a, 0.4);
  const holder = new Holder(metering, `reset-${made}`);
  await outcome(holder, nodesOf(a), 4);
  await outcome(holder, nodesOf(b), 3);
  const { allowance } = await metering.limits(root).resetLimit({ limit: limit.id }, { timeoutMs });
  expect(allowance).toMatchObject({ used: 0n, leased: 0n });
  expect(await allowanceOf(b)).toEqual([6, 4]);
  expect((await outcome(holder, nodesOf(a), 10)).outcome).toBe(Outcome.GRANTED);
});
