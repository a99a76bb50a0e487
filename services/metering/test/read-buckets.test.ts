import { encodeFreshness } from "@gatehouse/changefeed";
import { Window } from "@gatehouse/proto/metering";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import { IdentityLog, startMetering, type TestKey, type TestMetering } from "./fixture.ts";
import { Holder } from "./holder.ts";

const timeoutMs = 5000;
const identity = new IdentityLog();
let postgres: TestPostgres;
let metering: TestMetering;
let root: TestKey;

beforeAll(async () => {
  root = identity.key(identity.root);
  postgres = await startTestPostgres();
  metering = await startMetering(postgres.url, identity);
});

afterAll(async () => {
  await metering?.stop();
  await postgres?.stop();
});

const quota = { case: "quota" as const, value: { units: 100n, window: Window.MONTH } };
const rate = {
  case: "rate" as const,
  value: { units: 1n, interval: { seconds: 3600n, nanos: 0 }, burst: 50n },
};

let made = 0;
async function organization() {
  const account = identity.account(identity.root, `org-${++made}`);
  const key = identity.key(account);
  await metering.follower.prove();
  const limit = async (
    node: { case: "account" | "key"; value: string },
    allowance: typeof quota | typeof rate,
    resource = "",
  ) => (await metering.limits(root).setLimit({ node, allowance, resource }, { timeoutMs })).limit!.id;
  return { account, key, nodeIds: [key.id, account.id, identity.root.id], limit };
}

const read = (request: object) => metering.leases.readBuckets(request, { timeoutMs });

test("tells of each bucket that a call meets what GetAllowance tells, in the order of the nodes", async () => {
  const { account, key, nodeIds, limit } = await organization();
  const onAccount = await limit({ case: "account", value: account.id }, quota);
  const onKey = await limit({ case: "key", value: key.id }, rate);
  const onOrders = await limit({ case: "key", value: key.id }, quota, "orders.**");
  const holder = new Holder(metering, `a-${crypto.randomUUID()}`);
  await holder.acquire(nodeIds, { requests: 7 }, { want: 7 });
  await holder.ship();
  const { buckets } = await read({ nodeIds, resource: "" });
  const node = { case: "key" as const, value: key.id };
  const { allowances } = await metering.limits(root).getAllowance({ node }, { timeoutMs });
  // What is allocated below is for people: no call meets it.
  for (const each of [...buckets, ...allowances]) each.allocatedBelow = undefined;
  expect(buckets).toEqual(allowances.filter(({ limit }) => limit!.id !== onOrders));
  expect(buckets.map(({ limit, leased }) => [limit!.id, leased])).toEqual([
    [onKey, 7n],
    [onAccount, 7n],
  ]);
  const withResource = await read({ nodeIds, resource: "orders.read" });
  expect(withResource.buckets.map(({ limit }) => limit!.id)).toEqual([onKey, onOrders, onAccount]);
});

test("tells apart what is lent to one holder and not known to be spent", async () => {
  const { account, key, nodeIds, limit } = await organization();
  const limitIds = [
    await limit({ case: "key", value: key.id }, rate),
    await limit({ case: "account", value: account.id }, quota),
  ];
  const [one, other] = [1, 2].map((n) => new Holder(metering, `${n}-${crypto.randomUUID()}`));
  await one!.acquire(nodeIds, { requests: 5 }, { want: 5 });
  await other!.acquire(nodeIds, { requests: 3 }, { want: 3 });
  one!.spend(limitIds);
  await one!.ship();
  const { buckets, leasedToHolder } = await read({ nodeIds, holder: one!.name });
  expect(buckets.map(({ leased }) => leased)).toEqual([8n, 7n]);
  // The batch told of what the quota's lease spent; what rate leases spend travels with the next Acquire.
  expect(leasedToHolder).toEqual([5n, 4n]);
  expect((await read({ nodeIds, holder: other!.name })).leasedToHolder).toEqual([3n, 3n]);
  expect((await read({ nodeIds })).leasedToHolder).toEqual([0n, 0n]);
});

test("lends nothing, and knows nothing of nodes without limits", async () => {
  const { account, nodeIds, limit } = await organization();
  expect((await read({ nodeIds })).buckets).toEqual([]);
  await limit({ case: "account", value: account.id }, quota);
  for (let i = 0; i < 3; i++) {
    expect((await read({ nodeIds })).buckets).toMatchObject([{ used: 0n, leased: 0n, remaining: 100n }]);
  }
});

test("waits for the state of identity that the question relies on", async () => {
  const { nodeIds } = await organization();
  identity.account(identity.root, `org-${++made}`);
  const known = encodeFreshness("identity", identity.position);
  await read({ nodeIds, identityFreshness: known });
  expect(metering.follower.position).toEqual(identity.position);
  const ahead = { ...identity.position, revision: identity.position.revision + 1 };
  await expect(
    read({ nodeIds, identityFreshness: encodeFreshness("identity", ahead) }),
  ).rejects.toMatchObject({ code: "FAILED_PRECONDITION", reason: "FRESHNESS_UNREACHABLE" });
});

test("names every field that is wrong", async () => {
  const request = { nodeIds: [], resource: "r".repeat(257), holder: "nobody" };
  await expect(read(request)).rejects.toMatchObject({
    code: "INVALID_ARGUMENT",
    violations: [{ field: "node_ids" }, { field: "resource" }, { field: "holder" }],
  });
});
