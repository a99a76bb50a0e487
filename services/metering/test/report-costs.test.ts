import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { TransactionKind } from "@gatehouse/proto/metering";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { IdentityLog, startMetering, type TestMetering } from "./fixture.ts";
import { Holder } from "./holder.ts";

const timely = { timeoutMs: 5000 };
const identity = new IdentityLog();
const root = identity.key(identity.root, "MASTER", undefined, ["administrator", "fund-manager"]);
let postgres: TestPostgres;
let metering: TestMetering;
let organization: string;
let account: string;
let made = 0;

beforeAll(async () => {
  for (const meter of ["tokens", "bytes"]) identity.meter(meter);
  postgres = await startTestPostgres();
  metering = await startMetering(postgres.url, identity);
  const price = (request: object) => metering.credits(root).setPrice({ currency: "USD", ...request }, timely);
  await price({ meter: "tokens", price: 3n });
  await price({ meter: "bytes", price: 150_000n, perUnits: 1_000_000n });
});

afterAll(async () => {
  await metering?.stop();
  await postgres?.stop();
});

beforeEach(async () => {
  const acme = identity.account(identity.root, `org${++made}`);
  organization = acme.id;
  account = identity.account(acme, "team").id;
  await metering.follower.prove();
});

const topUp = (of: string, amount: number) => {
  const payment = { reference: "payment", idempotencyKey: `top-up-${++made}` };
  const request = { account: of, amount: BigInt(amount), currency: "USD", ...payment };
  return metering.credits(root).topUp(request, timely);
};

interface Event {
  readonly id: string;
  readonly units: number;
  readonly meter?: string;
  readonly atMs?: number;
}

function report(...events: Event[]) {
  const wire = events.map(({ id, units, meter = "tokens", atMs = Date.now() + 1000 }) => {
    const node = { case: "account", value: account } as const;
    return { id, node, meter, units: BigInt(units), time: timestampFromMs(atMs) };
  });
  return metering.usage(root).reportUsage({ source: `backend-${made}`, events: wire }, timely);
}

/** What was taken of a wallet by usage, row by row, oldest first; and what usage says that the account's cost. */
async function books(of = account) {
  const { transactions } = await metering
    .credits(root)
    .listTransactions({ account: of, currency: "USD" }, timely);
  const node = { case: "account", value: account } as const;
  const end = timestampFromMs(Date.now() + 120_000);
  const { rows } = await metering.usage(root).queryUsage({ node, end }, timely);
  const usage = transactions.filter(({ kind }) => kind === TransactionKind.USAGE).reverse();
  const cost = rows.reduce((sum, row) => sum + row.cost, 0n);
  expect(usage.reduce((sum, { amount }) => sum - amount, 0n)).toBe(cost);
  return { rows: usage.map(({ amount }) => Number(amount)), cost: Number(cost) };
}

test("reported usage is a row of the payer's ledger, once however often it is reported", async () => {
  await topUp(account, 1000);
  const events = [
    { id: "1", units: 10 },
    { id: "2", units: 5 },
  ];
  await report(...events);
  await report(...events, { id: "3", units: 1 });
  expect(await books()).toEqual({ rows: [-45, -3], cost: 48 });
});

test("what names usage is no organization's to read, nor what a refund of it is named by", async () => {
  await topUp(account, 1000);
  await report({ id: "secret-job", units: 10 });
  const list = async () =>
    (await metering.credits(root).listTransactions({ account, pageSize: 2 }, timely)).transactions;
  const [used] = await list();
  expect(used).toMatchObject({ kind: TransactionKind.USAGE, reference: "" });
  await metering.credits(root).adjust({ account, refundOf: used!.id, reason: "a gift" }, timely);
  const entries = await list();
  expect(entries.map(({ kind, reference }) => [kind, reference])).toEqual([
    [TransactionKind.REFUND, ""],
    [TransactionKind.USAGE, ""],
  ]);
});

test("events too small for a micro each cost what they cost together", async () => {
  await topUp(account, 1000);
  for (let i = 0; i < 20; i++) await report({ id: `${i}`, units: 1, meter: "bytes" });
  expect(await books()).toEqual({ rows: [-1, -1, -1], cost: 3 });
});

test("an event costs what was in force at its time, and the parent pays where it is to", async () => {
  await topUp(organization, 1000);
  const source = { account, usesParentBalance: true };
  await metering.credits(root).setBalanceSource(source, timely);
  await report({ id: "1", units: 10, atMs: Date.now() - 86_400_000 }, { id: "2", units: 10 });
  expect(await books(organization)).toEqual({ rows: [-30], cost: 30 });
});

test("it may take more than there is, and a wallet that was not there: then nothing is lent", async () => {
  await report({ id: "1", units: 10 });
  expect(await books()).toEqual({ rows: [-30], cost: 30 });
  const holder = new Holder(metering, "holder");
  const nodes = [account, organization, identity.root.id];
  const { limits } = await holder.acquire(nodes, {});
  const walletId = limits.find(({ nodeId }) => nodeId === account)!.wallets[0]!.id;
  const ask = () => holder.acquire(nodes, {}, { costs: { [walletId]: 1 } });
  expect((await ask()).results[0]).toMatchObject({ limitId: walletId, remaining: -30n });
  await topUp(account, 531);
  await holder.answerRecalls();
  expect((await ask()).leases).toHaveLength(1);
  await report({ id: "2", units: 1000 });
  await expect.poll(() => holder.recalled, { timeout: timely.timeoutMs }).toEqual([walletId]);
  holder.stop();
});
