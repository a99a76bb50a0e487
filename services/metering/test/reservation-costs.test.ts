import { TransactionKind } from "@gatehouse/proto/metering";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { IdentityLog, startMetering, type TestMetering } from "./fixture.ts";
import { Reserver } from "./reserving.ts";

const timely = { timeoutMs: 5000 };
const PRICE = 3;
const identity = new IdentityLog();
const verifier = identity.key(identity.root);
const funds = identity.key(identity.root, "MASTER", undefined, ["fund-manager", "administrator"]);
let postgres: TestPostgres;
let metering: TestMetering;
let priceId: string;
let account: string;
let walletId: string;
let keyId: string;
let replica: Reserver;
let made = 0;

beforeAll(async () => {
  identity.meter("tokens");
  identity.meter("images");
  postgres = await startTestPostgres();
  metering = await startMetering(postgres.url, identity);
  const prices = await Promise.all(
    ["tokens", "images"].map((meter) =>
      metering.credits(funds).setPrice({ meter, currency: "USD", price: BigInt(PRICE) }, timely),
    ),
  );
  priceId = prices[0]!.price!.id;
  // Minutes that began before a price did have none.
  metering.time.offsetMs += 60_000;
});

afterAll(async () => {
  await metering?.stop();
  await postgres?.stop();
});

beforeEach(async () => {
  const organization = identity.account(identity.root, `org${++made}`);
  account = organization.id;
  keyId = identity.key(organization).id;
  await metering.follower.prove();
  const payment = { reference: "payment", idempotencyKey: `top-up-${made}` };
  const request = { account, amount: 1000n, currency: "USD", ...payment };
  await metering.credits(funds).topUp(request, timely);
  replica = new Reserver(metering, `authz-${made}`);
  const { limits } = await replica.acquire([account, identity.root.id], {});
  walletId = limits.find(({ nodeId }) => nodeId === account)!.wallets[0]!.id;
});

const reserve = (tokens: number) =>
  replica.reserve({
    ...{ verifier: verifier.id, key: keyId, accounts: [account, identity.root.id] },
    estimate: { tokens },
    costs: { tokens: { priceId, currency: "USD", micros: tokens * PRICE } },
    walletId,
  });

const commit = (decisionId: string, tokens: number, more: { meter: string; units: bigint }[] = []) => {
  const charges = [{ meter: "tokens", units: BigInt(tokens) }, ...more];
  return metering.usage(verifier).commitReservation({ decisionId, charges }, timely);
};

/** The ledger's entries of the account, oldest first, without its top-up; the balance; and what usage says. */
async function books() {
  const credits = metering.credits(funds);
  const { transactions } = await credits.listTransactions({ account, currency: "USD" }, timely);
  const { balance } = await credits.getBalance({ account, currency: "USD" }, timely);
  const node = { case: "account", value: account } as const;
  const { rows } = await metering.usage(verifier).queryUsage({ node }, timely);
  const entries = transactions.filter(({ kind }) => kind !== TransactionKind.TOP_UP).reverse();
  const cost = rows.reduce((sum, row) => sum + row.cost, 0n);
  expect(entries.reduce((sum, { amount }) => sum + amount, 0n)).toBe(-cost);
  expect(balance!.amount).toBe(1000n - cost);
  return {
    entries: entries.map(({ kind, amount }) => [TransactionKind[kind], Number(amount)]),
    usage: rows.map(({ meter, units, cost, currency }) => [meter, Number(units), Number(cost), currency]),
    leased: Number(balance!.leased),
  };
}

test.each([
  [40, ["REFUND", 180]],
  [130, ["USAGE", -90]],
])("a call of 100 that used %i is booked at that, by a row of the ledger of its own", async (used, entry) => {
  const { decisionId, ship } = await reserve(100);
  await ship();
  await commit(decisionId, used);
  await commit(decisionId, used);
  expect(await books()).toEqual({
    entries: [["USAGE", -300], entry],
    usage: [["tokens", used, used * PRICE, "USD"]],
    leased: 0,
  });
});

test("a released call costs nothing, also where metering hears of it first", async () => {
  const [one, other] = [await reserve(100), await reserve(50)];
  await metering.usage(verifier).releaseReservation({ decisionId: one.decisionId }, timely);
  await one.ship();
  await other.ship();
  await metering.usage(verifier).releaseReservation({ decisionId: other.decisionId }, timely);
  const settled = async () => (await books()).entries.length;
  await expect.poll(settled, { timeout: timely.timeoutMs }).toBe(4);
  expect(await books()).toMatchObject({ usage: [], leased: 0 });
});

test("more than there is goes below zero, and then nothing is lent until it is refilled", async () => {
  const { decisionId, ship } = await reserve(100);
  await ship();
  await commit(decisionId, 400);
  expect((await books()).entries).toEqual([
    ["USAGE", -300],
    ["USAGE", -900],
  ]);
  const ask = () => replica.acquire([account, identity.root.id], {}, { costs: { [walletId]: 1 } });
  expect((await ask()).results[0]).toMatchObject({ limitId: walletId, remaining: -200n });
  const refill = {
    account,
    amount: 201n,
    currency: "USD",
    reference: "more",
    idempotencyKey: `more-${made}`,
  };
  await metering.credits(funds).topUp(refill, timely);
  expect((await ask()).leases).toHaveLength(1);
});

test("what is lent is called back from a wallet that a commit overdraws", async () => {
  await replica.answerRecalls();
  const { decisionId, ship } = await reserve(100);
  await ship();
  await replica.acquire([account, identity.root.id], {}, { costs: { [walletId]: 500 } });
  await commit(decisionId, 300);
  await expect.poll(() => replica.recalled, { timeout: timely.timeoutMs }).toEqual([walletId]);
  replica.stop();
});

test("a meter without an estimate costs what it does, of the payer's wallet", async () => {
  const { decisionId, ship } = await reserve(100);
  await ship();
  await commit(decisionId, 100, [{ meter: "images", units: 7n }]);
  expect(await books()).toMatchObject({
    entries: [
      ["USAGE", -300],
      ["USAGE", -21],
    ],
    usage: [
      ["images", 7, 21, "USD"],
      ["tokens", 100, 300, "USD"],
    ],
  });
});

describe("what a commit answers", () => {
  test("is what the call costs in the end, the same each time", async () => {
    const { decisionId, ship } = await reserve(100);
    await ship();
    const answer = await commit(decisionId, 40, [{ meter: "images", units: 7n }]);
    expect(answer).toMatchObject({ pending: false, cost: [{ currency: "USD", micros: 141n }] });
    expect(await commit(decisionId, 40, [{ meter: "images", units: 7n }])).toEqual(answer);
    expect((await books()).usage.reduce((sum, [, , cost]) => sum + Number(cost), 0)).toBe(141);
  });

  test("is the estimate's cost where that was right, and nothing for a call that used nothing", async () => {
    const [right, unused] = [await reserve(10), await reserve(5)];
    await right.ship();
    await unused.ship();
    expect((await commit(right.decisionId, 10)).cost).toMatchObject([{ currency: "USD", micros: 30n }]);
    expect((await commit(unused.decisionId, 0)).cost).toEqual([]);
  });

  test("is known once metering has heard of the reservation, and not before", async () => {
    const { decisionId, ship } = await reserve(100);
    expect(await commit(decisionId, 40)).toMatchObject({ pending: true, cost: [] });
    await ship();
    const cost = async () => (await commit(decisionId, 40)).cost.map(({ micros }) => micros);
    await expect.poll(cost, { timeout: timely.timeoutMs }).toEqual([120n]);
  });
});
