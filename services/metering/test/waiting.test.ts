import { AskResult_Outcome as Outcome, Window } from "@gatehouse/proto/metering";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import { IdentityLog, startMetering, type TestMetering } from "./fixture.ts";
import { Holder } from "./holder.ts";

// Long enough that on the slowest machine what the tests do comes within the wait.
const waitMs = 3000;
const timeoutMs = 10_000;
const identity = new IdentityLog();
const root = identity.key(identity.root);
let postgres: TestPostgres;
let metering: TestMetering;

beforeAll(async () => {
  postgres = await startTestPostgres();
  metering = await startMetering(postgres.url, identity, { waitMs });
});

afterAll(async () => {
  await metering?.stop();
  await postgres?.stop();
});

async function accountWith(units: number, slug: string): Promise<string> {
  const { id } = identity.account(identity.root, slug);
  await metering.limits(root).setLimit(
    {
      node: { case: "account", value: id },
      allowance: { case: "quota", value: { units: BigInt(units), window: Window.NEVER } },
    },
    { timeoutMs },
  );
  return id;
}

/** Of `has`, how many units its next batch gives back. */
async function giveBack(has: Holder, leaseId: string): Promise<void> {
  const batch = has.batch({ leases: [{ leaseId, spent: 0n, closed: true }] });
  await metering.ingest.ingestBatch(batch, { timeoutMs });
}

async function lease(holder: Holder, nodeId: string, units: number): Promise<string> {
  const { leases } = await holder.acquire([nodeId], { requests: units }, { want: units });
  return leases[0]!.id;
}

const outcome = async (answer: ReturnType<Holder["acquire"]>) => (await answer).results[0]!.outcome;

test("an ask that waits is served when units come back, before its time is out", async () => {
  const nodeId = await accountWith(2, "served");
  const has = new Holder(metering, "served-has");
  const leaseId = await lease(has, nodeId, 2);
  const startedMs = performance.now();
  const asked = outcome(new Holder(metering, "served-asks").acquire([nodeId], { requests: 2 }));
  await giveBack(has, leaseId);
  expect(await asked).toBe(Outcome.GRANTED);
  expect(performance.now() - startedMs).toBeLessThan(waitMs);
});

test("who comes later does not take what the first who waits needs", async () => {
  const nodeId = await accountWith(4, "order");
  const has = new Holder(metering, "order-has");
  const [three, one] = [await lease(has, nodeId, 3), await lease(has, nodeId, 1)];
  const order: string[] = [];
  const note = (name: string) => (result: Outcome) => order.push(`${name} ${Outcome[result]}`);
  const first = outcome(new Holder(metering, "first").acquire([nodeId], { requests: 4 })).then(note("first"));
  await giveBack(has, one);
  const second = outcome(new Holder(metering, "second").acquire([nodeId], { requests: 1 })).then(
    note("second"),
  );
  // A round that the second is part of, for sure: this answer came after it was asked.
  await outcome(new Holder(metering, "third").acquire([nodeId], {}));
  expect(order).toEqual([]);
  await giveBack(has, three);
  await Promise.all([first, second]);
  expect(order[0]).toBe("first GRANTED");
});

test("one that waits holds up nobody who needs other buckets", async () => {
  const [empty, full] = [await accountWith(1, "empty"), await accountWith(1, "full")];
  const leaseId = await lease(new Holder(metering, "empty-has"), empty, 1);
  const waiting = outcome(new Holder(metering, "empty-asks").acquire([empty], { requests: 1 }));
  const startedMs = performance.now();
  expect(await outcome(new Holder(metering, "full-asks").acquire([full], { requests: 1 }))).toBe(
    Outcome.GRANTED,
  );
  expect(performance.now() - startedMs).toBeLessThan(waitMs);
  expect(leaseId).toBeDefined();
  expect(await waiting).toBe(Outcome.NOT_NOW);
});
