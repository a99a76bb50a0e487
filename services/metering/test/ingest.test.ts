import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { AskResult_Outcome, Enforcement, GroupBy, Window } from "@gatehouse/proto/metering";
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

const minute = BigInt(Date.UTC(2026, 0, 5, 12) / 60_000);
function usage(accountId: string, units: bigint) {
  return { minute, accountId, keyId: "key_any", meter: "requests", resource: "", outcome: "VALID", units };
}

async function used(accountId: string): Promise<bigint> {
  const { rows } = await metering.usage(root).queryUsage(
    {
      node: { case: "account", value: accountId },
      start: timestampFromMs(Date.UTC(2026, 0, 5)),
      end: timestampFromMs(Date.UTC(2026, 0, 6)),
      groupBy: [GroupBy.RESOURCE],
    },
    { timeoutMs },
  );
  return rows.reduce((sum, { units }) => sum + units, 0n);
}

test("a batch is booked once, however often it comes", async () => {
  const account = identity.account(identity.root, "once");
  const spool = new Holder(metering, "once");
  const expected = { expectedSequence: 1n };
  const epoch = { producer: spool.producer, epoch: 1n };
  expect(await metering.ingest.registerProducer(epoch, { timeoutMs })).toMatchObject(expected);
  const batch = spool.batch({ usage: [usage(account.id, 7n), usage(account.id, 1n)] });
  const answers = await Promise.all([1, 2, 3].map(() => metering.ingest.ingestBatch(batch, { timeoutMs })));
  expect(answers.map(({ expectedSequence }) => expectedSequence)).toEqual([2n, 2n, 2n]);
  expect(await used(account.id)).toBe(8n);
  expect((await metering.ingest.registerProducer(epoch, { timeoutMs })).expectedSequence).toBe(2n);
});

test("another batch under a number taken is an alarm, and a gap names the number expected", async () => {
  const account = identity.account(identity.root, "gap");
  const spool = new Holder(metering, "gap");
  await metering.ingest.ingestBatch(spool.batch({ usage: [usage(account.id, 1n)] }), { timeoutMs });
  const other = metering.ingest.ingestBatch(spool.batch({ usage: [usage(account.id, 2n)] }, 1n), {
    timeoutMs,
  });
  await expect(other).rejects.toMatchObject({ code: "DATA_LOSS", reason: "DIGEST_MISMATCH" });
  const early = metering.ingest.ingestBatch(spool.batch({ usage: [usage(account.id, 4n)] }, 3n), {
    timeoutMs,
  });
  await expect(early).rejects.toMatchObject({
    code: "FAILED_PRECONDITION",
    reason: "SEQUENCE_GAP",
    metadata: { expected_sequence: "2" },
  });
  expect(await used(account.id)).toBe(1n);
});

test("each epoch of a producer counts for itself, and an older one can still be shipped", async () => {
  const account = identity.account(identity.root, "epochs");
  const [crashed, next] = [new Holder(metering, "epochs", 1n), new Holder(metering, "epochs", 2n)];
  await metering.ingest.ingestBatch(next.batch({ usage: [usage(account.id, 1n)] }), { timeoutMs });
  await metering.ingest.ingestBatch(crashed.batch({ usage: [usage(account.id, 2n)] }), { timeoutMs });
  expect(await used(account.id)).toBe(3n);
});

test("usage of an account not known yet waits in quarantine and blocks nothing", async () => {
  const account = identity.account(identity.root, "known");
  const hidden = { id: "acc_0000000000000000late" };
  const spool = new Holder(metering, "quarantine");
  const batch = spool.batch({ usage: [usage(account.id, 1n), usage(hidden.id, 5n), usage(hidden.id, 6n)] });
  const answer = await metering.ingest.ingestBatch(batch, { timeoutMs });
  expect(answer).toMatchObject({ expectedSequence: 2n, quarantined: 2 });
  expect((await metering.ingest.ingestBatch(batch, { timeoutMs })).quarantined).toBe(2);
  expect(await used(account.id)).toBe(1n);
  identity.accountAs(hidden.id, identity.root, "late");
  await metering.follower.prove();
  await expect.poll(() => used(hidden.id), { timeout: 5000 }).toBe(11n);
});

test("what no lease covers is booked as spent all the same", async () => {
  const account = identity.account(identity.root, "over");
  await metering.follower.prove();
  await metering.limits(root).setLimit(
    {
      node: { case: "account", value: account.id },
      allowance: { case: "quota", value: { units: 10n, window: Window.DAY } },
    },
    { timeoutMs },
  );
  const spool = new Holder(metering, "over");
  const { leases } = await spool.acquire([account.id], { requests: 4 }, { want: 4 });
  const leaseId = leases[0]!.id;
  const say = (spent: bigint, closed = false) =>
    metering.ingest.ingestBatch(spool.batch({ leases: [{ leaseId, spent, closed }] }), { timeoutMs });
  const bucket = async () => {
    const { allowances } = await metering
      .limits(root)
      .getAllowance({ node: { case: "account", value: account.id } }, { timeoutMs });
    const { used, leased, remaining } = allowances[0]!;
    return [used, leased, remaining];
  };
  await say(1n);
  expect(await bucket()).toEqual([1n, 3n, 6n]);
  await say(5n);
  expect(await bucket()).toEqual([6n, 0n, 4n]);
  await say(0n, true);
  await say(2n);
  expect(await bucket()).toEqual([8n, 0n, 2n]);
});

test("units beyond what can be counted hold up nobody: the count stops at the most, with an alarm", async () => {
  const account = identity.account(identity.root, "most");
  await metering.follower.prove();
  await metering.limits(root).setLimit(
    {
      node: { case: "account", value: account.id },
      allowance: { case: "quota", value: { units: 10n, window: Window.NEVER } },
      enforcement: Enforcement.WARN,
    },
    { timeoutMs },
  );
  const spool = new Holder(metering, "most");
  const { leases } = await spool.acquire([account.id], { requests: 4 }, { want: 4 });
  const most = BigInt(Number.MAX_SAFE_INTEGER);
  // 2^53 a row and 2^63 to pass.
  const rows = Array.from({ length: 1100 }, () => usage(account.id, most));
  const spends = Array.from({ length: 1100 }, () => ({ leaseId: leases[0]!.id, spent: most / 1000n }));
  await metering.query("UPDATE metering.quota_bucket SET spent = $1", [(2n ** 62n - 2n).toString()]);
  await metering.ingest.ingestBatch(spool.batch({ usage: rows, leases: spends }), { timeoutMs });
  await metering.ingest.ingestBatch(spool.batch({ usage: [usage(account.id, most)] }), { timeoutMs });
  expect(await used(account.id)).toBe(2n ** 62n - 1n);
  const granted = await spool.acquire([account.id], { requests: 1 });
  expect(granted.results[0]!.outcome).toBe(AskResult_Outcome.GRANTED);
});

test("every bad field is named at once", async () => {
  const fieldsOf = (call: Promise<unknown>) =>
    call.catch(({ violations }) => violations.map(({ field }: { field: string }) => field));
  const good = new Holder(metering, "bad");
  const bad = {
    producer: "a/b",
    epoch: -1n,
    sequence: 0n,
    digest: new Uint8Array(32),
    payload: new Uint8Array(),
  };
  expect(await fieldsOf(metering.ingest.ingestBatch(bad, { timeoutMs }))).toEqual([
    "producer",
    "epoch",
    "sequence",
    "digest",
  ]);
  expect(await fieldsOf(metering.ingest.registerProducer(bad, { timeoutMs }))).toEqual(["producer", "epoch"]);
  const rows = good.batch({
    usage: [usage("acc_x", 1n), usage("acc_x", -1n)],
    leases: [{ leaseId: "", spent: 1n }],
  });
  expect(await fieldsOf(metering.ingest.ingestBatch(rows, { timeoutMs }))).toEqual([
    "payload.usage[1]",
    "payload.leases[0]",
  ]);
});
