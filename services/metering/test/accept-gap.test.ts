import { Window } from "@gatehouse/proto/metering";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import { IdentityLog, startMetering, type TestKey, type TestMetering } from "./fixture.ts";
import { Holder } from "./holder.ts";

const timeoutMs = 5000;
const timely = { timeoutMs };
const identity = new IdentityLog();
let postgres: TestPostgres;
let metering: TestMetering;
let root: TestKey;

beforeAll(async () => {
  root = identity.key(identity.root, "MASTER", undefined, ["administrator", "fund-manager"]);
  postgres = await startTestPostgres();
  metering = await startMetering(postgres.url, identity);
});

afterAll(async () => {
  await metering?.stop();
  await postgres?.stop();
});

function accept({ producer, epoch }: Holder, sequence: bigint, final = false) {
  return metering.ingest.acceptGap({ producer, epoch, sequence, final }, timely);
}

function usage(accountId: string, units: bigint) {
  const minute = BigInt(Math.floor(Date.now() / 60_000));
  return { minute, accountId, keyId: "key_any", meter: "requests", resource: "", outcome: "VALID", units };
}

/** What a quota of 100 a month says: used, leased, remaining. */
async function bucket(accountId: string): Promise<number[]> {
  const node = { case: "account", value: accountId } as const;
  const { allowances } = await metering.limits(root).getAllowance({ node }, timely);
  const { used, leased, remaining } = allowances[0]!;
  return [used, leased, remaining].map(Number);
}

async function lentTo(name: string): Promise<{ spool: Holder; accountId: string; leaseId: string }> {
  const account = identity.account(identity.root, name);
  await metering.follower.prove();
  const quota = { units: 100n, window: Window.MONTH };
  await metering
    .limits(root)
    .setLimit(
      { node: { case: "account", value: account.id }, allowance: { case: "quota", value: quota } },
      timely,
    );
  const spool = new Holder(metering, name);
  const { leases } = await spool.acquire([account.id], { requests: 1 }, { want: 40 });
  return { spool, accountId: account.id, leaseId: leases[0]!.id };
}

test("after its gap was accepted an epoch goes on, and what turns up of the gap is refused", async () => {
  const account = identity.account(identity.root, "goes-on");
  const spool = new Holder(metering, "goes-on");
  const batches = [1n, 2n, 3n, 4n, 5n].map((n) => spool.batch({ usage: [usage(account.id, 10n ** n)] }, n));
  const send = (n: number) => metering.ingest.ingestBatch(batches[n - 1]!, timely);
  await send(1);
  const gap = { code: "FAILED_PRECONDITION", reason: "SEQUENCE_GAP", metadata: { expected_sequence: "2" } };
  await expect(send(4)).rejects.toMatchObject(gap);
  await expect(accept(spool, 1n)).rejects.toMatchObject(gap);
  expect(await accept(spool, 4n)).toMatchObject({ expectedSequence: 4n, lostBatches: 2n });
  expect(await accept(spool, 4n)).toMatchObject({ expectedSequence: 4n, lostBatches: 0n });
  expect(await send(4)).toMatchObject({ expectedSequence: 5n });
  for (const late of [2, 3]) {
    await expect(send(late)).rejects.toMatchObject({ code: "DATA_LOSS", reason: "DIGEST_MISMATCH" });
  }
  expect(await send(1)).toMatchObject({ expectedSequence: 5n });
  expect(await send(5)).toMatchObject({ expectedSequence: 6n });
  const [row] = await metering.query<{ units: string }>(
    "SELECT sum(units) AS units FROM usage_minute WHERE account_id = $1",
    [account.id],
  );
  expect(Number(row!.units)).toBe(110_010);
});

test("what the epoch held of quotas counts as spent, and closing gives nothing back", async () => {
  const { spool, accountId, leaseId } = await lentTo("held");
  const say = (n: bigint, spent: bigint, closed = false) =>
    metering.ingest.ingestBatch(spool.batch({ leases: [{ leaseId, spent, closed }] }, n), timely);
  await say(1n, 10n);
  expect(await bucket(accountId)).toEqual([10, 30, 60]);
  // Batch 2 told of more, and is lost.
  expect(await accept(spool, 3n)).toMatchObject({
    lostBatches: 1n,
    forfeitedLeases: 1n,
    forfeitedUnits: 30n,
  });
  expect(await bucket(accountId)).toEqual([40, 0, 60]);
  await say(3n, 7n);
  expect(await bucket(accountId)).toEqual([40, 0, 60]);
  await say(4n, 0n, true);
  expect(await bucket(accountId)).toEqual([40, 0, 60]);
  // Without a gap the same words give back what was not spent.
  const other = await lentTo("whole");
  const closing = { leaseId: other.leaseId, spent: 7n, closed: true };
  await metering.ingest.ingestBatch(other.spool.batch({ leases: [closing] }), timely);
  expect(await bucket(other.accountId)).toEqual([7, 0, 93]);
});

test("an epoch that ends after its gap leaves its leases forfeited", async () => {
  const { spool, accountId } = await lentTo("ends");
  await metering.ingest.ingestBatch(spool.batch({ usage: [usage(accountId, 1n)] }, 1n), timely);
  await accept(spool, 2n + 5n);
  await metering.ingest.ingestBatch(spool.batch({ final: true }, 7n), timely);
  expect(await bucket(accountId)).toEqual([40, 0, 60]);
});

test("a gap is no longer than a day of batches, so that a number that was mistyped does not lose what is to come", async () => {
  const account = identity.account(identity.root, "mistyped");
  const spool = new Holder(metering, "mistyped");
  await metering.ingest.ingestBatch(spool.batch({ usage: [usage(account.id, 1n)] }, 1n), timely);
  await expect(accept(spool, 100_003n)).rejects.toMatchObject({
    code: "INVALID_ARGUMENT",
    violations: [{ field: "sequence", description: expect.stringMatching(/^must be 2 to 100002: /) }],
  });
  await metering.ingest.ingestBatch(spool.batch({ usage: [usage(account.id, 1n)] }, 2n), timely);
  expect(await accept(spool, 100_003n)).toMatchObject({ lostBatches: 100_000n });
});

test("an epoch whose disk is gone is ended: money goes back, quotas stay spent, and it acquires nothing", async () => {
  const { id } = identity.account(identity.root, "gone");
  await metering.follower.prove();
  const node = { case: "account", value: id } as const;
  const quota = { units: 100n, window: Window.MONTH };
  await metering.limits(root).setLimit({ node, allowance: { case: "quota", value: quota } }, timely);
  await metering.credits(root).topUp({ account: id, amount: 1000n, currency: "USD" }, timely);
  const wallet = async () => {
    const [row] = await metering.query<{ id: string; balance: string; leased: string }>(
      "SELECT id, balance, leased FROM wallet WHERE account_id = $1",
      [id],
    );
    return { walletId: row!.id, balance: Number(row!.balance), leased: Number(row!.leased) };
  };
  const { walletId } = await wallet();
  // It died before its first batch, so it never registered.
  const gone = new Holder(metering, "gone");
  await gone.acquire([id], { requests: 1 }, { want: 40, costs: { [walletId]: 10 } });
  const before = await wallet();
  expect(before).toMatchObject({ balance: 1000, leased: expect.toSatisfy((leased: number) => leased > 0) });

  expect(await accept(gone, 0n, true)).toMatchObject({
    expectedSequence: 1n,
    lostBatches: 0n,
    forfeitedLeases: 1n,
    forfeitedUnits: 40n,
    returnedLeases: 1n,
  });
  expect(await wallet()).toEqual({ walletId, balance: 1000, leased: 0 });
  expect(await bucket(id)).toEqual([40, 0, 60]);
  const late = gone.acquire([id], { requests: 1 }, { costs: { [walletId]: 10 } });
  await expect(late).rejects.toMatchObject({ code: "FAILED_PRECONDITION", reason: "FINAL_STATE" });
  expect(await accept(gone, 0n, true)).toMatchObject({ forfeitedLeases: 0n, returnedLeases: 0n });

  const events = await metering.query<{ after: object }>(
    "SELECT after FROM audit_event WHERE target_id = $1",
    [gone.name],
  );
  expect(events.map(({ after }) => after)).toEqual([
    expect.objectContaining({
      final: true,
      forfeitedLeases: 1,
      returnedLeases: 1,
      returned: [{ leaseId: expect.any(String), walletId, unspent: before.leased }],
    }),
  ]);
});

test("a disk that is found after its epoch was ended still tells what was used and spent", async () => {
  const { id } = identity.account(identity.root, "found");
  await metering.follower.prove();
  await metering.credits(root).topUp({ account: id, amount: 1000n, currency: "USD" }, timely);
  const [wallet] = await metering.query<{ id: string }>("SELECT id FROM wallet WHERE account_id = $1", [id]);
  const found = new Holder(metering, "found");
  await found.acquire([id], { requests: 1 }, { costs: { [wallet!.id]: 10 } });
  await accept(found, 0n, true);
  found.pay(wallet!.id, 7);
  await found.ship();
  const [row] = await metering.query("SELECT balance, leased FROM wallet WHERE account_id = $1", [id]);
  expect(row).toEqual({ balance: "993", leased: "0" });
});

test("the audit has what was lost, as far as it is known", async () => {
  const { spool, leaseId } = await lentTo("audited");
  await metering.ingest.registerProducer({ producer: spool.producer, epoch: spool.epoch }, timely);
  await accept(spool, 6n);
  const events = await metering.query(
    "SELECT actor_key_id, action, before, after FROM audit_event WHERE target_id = $1",
    [spool.name],
  );
  expect(events).toEqual([
    {
      actor_key_id: "service",
      action: "gatehouse.usage.accept-gap",
      before: { expectedSequence: 1 },
      after: {
        expectedSequence: 6,
        lostBatches: 5,
        forfeitedLeases: 1,
        leases: [{ leaseId, limitId: expect.stringMatching(/^lim_/), unspent: 40 }],
      },
    },
  ]);
});

test("an epoch that never registered has no gap, and every bad field is named", async () => {
  await expect(accept(new Holder(metering, "nobody"), 3n)).rejects.toMatchObject({ code: "NOT_FOUND" });
  const bad = metering.ingest.acceptGap({ producer: "a b", epoch: -1n, sequence: 0n }, timely);
  const fields = bad.catch(({ violations }) => violations.map(({ field }: { field: string }) => field));
  expect(await fields).toEqual(["producer", "epoch", "sequence"]);
});
