import { Window } from "@gatehouse/proto/metering";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import pg from "pg";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { IdentityLog, startMetering, type TestKey, type TestMetering } from "./fixture.ts";
import { Holder } from "./holder.ts";

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

function end(holder: Holder, leases: { leaseId: string; spent: bigint; closed?: boolean }[] = []) {
  return metering.ingest.ingestBatch(holder.batch({ leases, final: true }), { timeoutMs });
}

test("leases that their holder never heard of come back with the end of its epoch", async () => {
  const holder = new Holder(metering, "unheard");
  const other = new Holder(metering, "unheard", 2n);
  const { leases } = await holder.acquire([account], { requests: 4 }, { want: 4 });
  await holder.acquire([account], { requests: 3 }, { want: 3 });
  await other.acquire([account], { requests: 2 }, { want: 2 });
  await end(holder, [{ leaseId: leases[0]!.id, spent: 1n, closed: true }]);
  expect(await bucket()).toEqual([1n, 2n, 97n]);
});

test("what had counted as spent comes back with the end of the epoch", async () => {
  const holder = new Holder(metering, "forfeited");
  const { leases } = await holder.acquire([account], { requests: 4 }, { want: 4 });
  metering.time.offsetMs += 120_000;
  await expect.poll(bucket, { timeout: timeoutMs }).toEqual([4n, 0n, 96n]);
  await end(holder, [{ leaseId: leases[0]!.id, spent: 1n }]);
  expect(await bucket()).toEqual([1n, 0n, 99n]);
});

test("an epoch that has ended acquires no more, and others asking beside it do", async () => {
  const holder = new Holder(metering, "ended");
  const next = new Holder(metering, "ended", 2n);
  await end(holder);
  const late = holder.acquire([account], { requests: 1 });
  const granted = next.acquire([account], { requests: 1 }, { want: 1 });
  await expect(late).rejects.toMatchObject({ code: "FAILED_PRECONDITION", reason: "FINAL_STATE" });
  expect((await granted).leases).toHaveLength(1);
});

test("an acquire under way when its epoch ends is waited for, and what it was lent comes back", async () => {
  const holder = new Holder(metering, "under-way");
  await holder.acquire([account], { requests: 1 }, { want: 1 });
  await holder.ship(() => true);
  const client = new pg.Client({ connectionString: postgres.url, options: "-c search_path=metering" });
  await client.connect();
  try {
    await client.query("BEGIN; SELECT FROM quota_bucket FOR UPDATE");
    const acquired = holder.acquire([account], { requests: 5 }, { want: 5 });
    const waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    await expect.poll(async () => (await client.query(waiting)).rowCount).toBe(1);
    const ended = end(holder);
    await expect.poll(async () => (await client.query(waiting)).rowCount).toBe(2);
    await client.query("COMMIT");
    expect((await acquired).leases).toHaveLength(1);
    await ended;
  } finally {
    await client.end();
  }
  expect(await bucket()).toEqual([0n, 0n, 100n]);
});
