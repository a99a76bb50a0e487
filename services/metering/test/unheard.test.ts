import { Window } from "@gatehouse/proto/metering";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { IdentityLog, startMetering, type TestKey, type TestMetering } from "./fixture.ts";
import { Holder } from "./holder.ts";

/** Leases whose holder lives on and never got the answer that lent them. */

const timeoutMs = 5000;
const identity = new IdentityLog();
let postgres: TestPostgres;
let metering: TestMetering;
let root: TestKey;
let account: string;
let accounts = 0;

beforeAll(async () => {
  root = identity.key(identity.root);
  postgres = await startTestPostgres();
  metering = await startMetering(postgres.url, identity);
});

afterAll(async () => {
  await metering?.stop();
  await postgres?.stop();
});

beforeEach(async () => {
  account = identity.account(identity.root, `a${++accounts}`).id;
  await metering.follower.prove();
  const allowance = { case: "quota", value: { units: 100n, window: Window.NEVER } } as const;
  await metering
    .limits(root)
    .setLimit({ node: { case: "account", value: account }, allowance }, { timeoutMs });
});

async function bucket(): Promise<[used: bigint, leased: bigint, remaining: bigint]> {
  const node = { case: "account", value: account } as const;
  const { allowances } = await metering.limits(root).getAllowance({ node }, { timeoutMs });
  const { used, leased, remaining } = allowances[0]!;
  return [used, leased, remaining];
}

async function lend(holder: Holder, number: number, units: number): Promise<string> {
  const ask = { nodeIds: [account], needs: [{ meter: "requests", units: BigInt(units) }] };
  const { limits } = await metering.leases.acquire(
    { holder: holder.name, asks: [{ ...ask, needs: [] }] },
    { timeoutMs },
  );
  const wants = [{ limitId: limits[0]!.limits[0]!.id, units: BigInt(units) }];
  const request = { holder: holder.name, number: BigInt(number), asks: [{ ...ask, wants }] };
  return (await metering.leases.acquire(request, { timeoutMs })).leases[0]!.id;
}

function close(holder: Holder, ...leaseIds: string[]) {
  const leases = leaseIds.map((leaseId) => ({ leaseId, closed: true }));
  return metering.ingest.ingestBatch(holder.batch({ leases }), { timeoutMs });
}

test("come back with the number of the request, and those of no other request or holder", async () => {
  const [holder, other] = [new Holder(metering, "unheard"), new Holder(metering, "unheard", 2n)];
  await lend(holder, 1, 4);
  await lend(holder, 11, 5);
  await lend(other, 1, 6);
  await close(holder, ".1");
  expect(await bucket()).toEqual([0n, 11n, 89n]);
  // Whatever it closes once more, or that was lent nothing, changes nothing.
  await close(holder, ".1", ".2");
  expect(await bucket()).toEqual([0n, 11n, 89n]);
});

test("come back though they had counted as spent meanwhile", async () => {
  const holder = new Holder(metering, "late");
  await lend(holder, 7, 4);
  metering.time.offsetMs += 120_000;
  await expect.poll(bucket, { timeout: timeoutMs }).toEqual([4n, 0n, 96n]);
  await close(holder, ".7");
  expect(await bucket()).toEqual([0n, 0n, 100n]);
});

test("leave what the holder spends of its others", async () => {
  const holder = new Holder(metering, "others");
  const id = await lend(holder, 1, 4);
  await lend(holder, 2, 4);
  const leases = [
    { leaseId: ".2", closed: true },
    { leaseId: id, spent: 3n },
  ];
  await metering.ingest.ingestBatch(holder.batch({ leases }), { timeoutMs });
  expect(await bucket()).toEqual([3n, 1n, 96n]);
});
