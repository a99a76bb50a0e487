import { mintId } from "@gatehouse/keys";
import type { Failure } from "@gatehouse/service/failure";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import { IdentityLog, startMetering, type TestMetering } from "./fixture.ts";
import { Holder } from "./holder.ts";

const timely = { timeoutMs: 10_000 };
const identity = new IdentityLog();
const organization = identity.account(identity.root, "acme");
const root = identity.key(identity.root, "MASTER", undefined, ["fund-manager"]);
const actorKeyId = root.id;
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

let made = 0;
const account = (parent = organization) => identity.account(parent, `account-${made++}`);
const give = (to: string, amount: bigint, currency = "USD") =>
  metering.credits(root).adjust({ account: to, amount, currency, reason: "given" }, timely);
const held = async (accountId: string) =>
  (await metering.holdings().getHoldings({ accountId }, timely)).holdings.map(
    ({ accountId, currency, amount }) => [accountId, currency, amount],
  );
const move = (accountId: string, toAccountId: string) =>
  metering.holdings().moveMoney({ accountId, toAccountId, actorKeyId }, timely);

test("what wallets hold or owe, of an account and below it, is a holding, and an empty wallet is none", async () => {
  const parent = account();
  const child = account(parent);
  await give(parent.id, 5n);
  await give(child.id, -3n, "credits");
  await give(child.id, 7n);
  await give(child.id, -7n);
  expect(await held(parent.id)).toEqual([
    [parent.id, "USD", 5n],
    [child.id, "credits", -3n],
  ]);
});

test("all of it goes to another account, which pays what is owed, once", async () => {
  const [parent, receiver] = [account(), account()];
  const children = Array.from({ length: 5 }, () => account(parent));
  await give(receiver.id, 100n, "credits");
  for (const child of children) {
    await give(child.id, 10n);
    await give(child.id, -4n, "credits");
  }
  await Promise.all([move(parent.id, receiver.id), move(parent.id, receiver.id)]);
  await move(parent.id, receiver.id);
  expect(await held(parent.id)).toEqual([]);
  expect(await held(receiver.id)).toEqual([
    [receiver.id, "USD", 50n],
    [receiver.id, "credits", 80n],
  ]);
  const request = { account: receiver.id, currency: "credits" };
  const { transactions } = await metering.credits(root).listTransactions(request, timely);
  const paid = { reason: "the account is closed", actorKeyId: root.id, amount: -4n };
  expect(transactions).toContainEqual(expect.objectContaining(paid));
});

test("debts that the receiver cannot pay are refused, and so are leases until they come back", async () => {
  const [poor, closing] = [account(), account()];
  await give(closing.id, -4n);
  const exhausted = { code: "FAILED_PRECONDITION", reason: "CREDIT_EXHAUSTED" };
  await expect(move(closing.id, poor.id)).rejects.toMatchObject(exhausted);
  await give(closing.id, 104n);
  const holder = new Holder(metering, "holder");
  const [wallet] = await metering.query<{ id: string }>("SELECT id FROM wallet WHERE account_id = $1", [
    closing.id,
  ]);
  const nodeIds = [closing.id, organization.id, identity.root.id];
  await holder.acquire(nodeIds, { requests: 1 }, { costs: { [wallet!.id]: 10 } });
  await expect(move(closing.id, poor.id)).rejects.toMatchObject({ code: "UNAVAILABLE" });
  holder.pay(wallet!.id, 6);
  await holder.ship(() => true);
  await move(closing.id, poor.id);
  expect(await held(poor.id)).toEqual([[poor.id, "USD", 94n]]);
});

test("credit that is lent may yet be owed: it is a holding until it comes back, also of an empty wallet", async () => {
  const [closing, receiver] = [account(), account()];
  const limit = { account: closing.id, currency: "USD", creditLimit: 100n };
  await metering.credits(root).setCreditLimit(limit, timely);
  expect(await held(closing.id)).toEqual([]);
  const [wallet] = await metering.query<{ id: string }>("SELECT id FROM wallet WHERE account_id = $1", [
    closing.id,
  ]);
  const holder = new Holder(metering, "creditor");
  const nodeIds = [closing.id, organization.id, identity.root.id];
  await holder.acquire(nodeIds, { requests: 1 }, { costs: { [wallet!.id]: 30 } });
  const [lent] = await held(closing.id);
  expect(lent!.slice(0, 2)).toEqual([closing.id, "USD"]);
  expect(lent![2]).toBeLessThanOrEqual(-30n);
  // There is nothing to move yet.
  await move(closing.id, receiver.id);
  expect(await held(closing.id)).toHaveLength(1);
  holder.pay(wallet!.id, 30);
  await holder.ship(() => true);
  expect(await held(closing.id)).toEqual([[closing.id, "USD", -30n]]);
  await give(receiver.id, 30n);
  await move(closing.id, receiver.id);
  expect(await held(closing.id)).toEqual([]);
});

test("it goes neither below what is closed, nor elsewhere, nor to what is closed", async () => {
  const closing = account();
  const [below, closed] = [account(closing), account()];
  identity.change({ ...closed, status: "CLOSED" });
  await metering.follower.prove();
  const other = identity.account(identity.root, `other-${made++}`);
  const outcome = (to: string) =>
    move(closing.id, to).catch(({ reason, violations }: Failure) => [reason, violations[0]?.field]);
  for (const to of [below.id, closing.id, other.id, identity.root.id]) {
    expect(await outcome(to)).toEqual(["INVALID_FIELD", "to_account_id"]);
  }
  expect(await outcome(closed.id)).toEqual(["FINAL_STATE", undefined]);
  expect(await outcome(mintId("acc"))).toEqual(["NOT_FOUND", undefined]);
  const malformed = metering
    .holdings()
    .moveMoney({ accountId: "x", toAccountId: "", actorKeyId: "" }, timely);
  await expect(malformed).rejects.toMatchObject({
    violations: [{ field: "account_id" }, { field: "to_account_id" }, { field: "actor_key_id" }],
  });
});
