import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { IdentityLog, startMetering, type TestMetering } from "./fixture.ts";
import { Holder } from "./holder.ts";

const timeoutMs = 10_000;
const patiently = { timeout: timeoutMs };
const identity = new IdentityLog();
const organization = identity.account(identity.root, "acme");
const root = identity.key(identity.root, "MASTER", undefined, ["fund-manager"]);
const master = identity.key(organization, "MASTER", undefined, ["fund-manager"]);
let postgres: TestPostgres;
let metering: TestMetering;
let replica: TestMetering;
let holders: Holder[] = [];
let from: string;
let to: string;
let wallet: string;
let made = 0;

beforeAll(async () => {
  postgres = await startTestPostgres();
  // Longer than a holder takes to answer on a machine that is busy with other tests.
  const waitMs = 1000;
  metering = await startMetering(postgres.url, identity, { waitMs });
  replica = await startMetering(postgres.url, identity, { waitMs });
});

afterAll(async () => {
  await metering?.stop();
  await replica?.stop();
  await postgres?.stop();
});

beforeEach(async () => {
  [from, to] = [`from-${++made}`, `to-${made}`].map((slug) => identity.account(organization, slug).id) as [
    string,
    string,
  ];
  await metering.credits(root).topUp({ account: from, amount: 100n, currency: "USD" }, { timeoutMs });
  const [row] = await metering.query<{ id: string }>("SELECT id FROM wallet WHERE account_id = $1", [from]);
  wallet = row!.id;
  holders = [];
  return () => {
    for (const holder of holders) holder.stop();
  };
});

/** A replica of authz that has some of the wallet in hand. */
async function holderOf(micros: number, answersRecalls = true): Promise<Holder> {
  const holder = new Holder(metering, `holder-${crypto.randomUUID()}`);
  holders.push(holder);
  if (answersRecalls) await holder.answerRecalls();
  await holder.acquire(
    [from, organization.id, identity.root.id],
    { requests: 1 },
    { costs: { [wallet]: micros } },
  );
  return holder;
}

const transfer = (amount: bigint, { of = metering, idempotencyKey = "" } = {}) =>
  of.credits(master).transfer({ from, to, amount, currency: "USD", idempotencyKey }, { timeoutMs });
const balance = async () =>
  (await metering.credits(root).getBalance({ account: from, currency: "USD" }, { timeoutMs })).balance!;

test("a transfer calls back what of its wallet is lent, through any replica of metering", async () => {
  for (const of of [metering, replica]) {
    const holder = await holderOf(30);
    expect((await balance()).leased).toBeGreaterThan(0n);
    const { amount } = await balance();
    await transfer(amount - 10n, { of });
    expect(holder.recalled).toContain(wallet);
    expect(await balance()).toMatchObject({ amount: 10n, available: 10n });
    await metering.credits(root).topUp({ account: from, amount: 90n, currency: "USD" }, { timeoutMs });
  }
});

test("what a holder had spent of it is not there to be transferred", async () => {
  const holder = await holderOf(30);
  holder.pay(wallet, 25);
  const key = { idempotencyKey: `all of ${from}` };
  const poor = { code: "FAILED_PRECONDITION", reason: "CREDIT_EXHAUSTED" };
  await expect(transfer(100n, key)).rejects.toMatchObject(poor);
  await transfer(75n);
  expect(await balance()).toMatchObject({ amount: 0n, leased: 0n });
  await expect(transfer(100n, key)).rejects.toMatchObject(poor);
});

test("a holder that does not answer makes it wait, and then try again: it is never refused for that", async () => {
  const holder = await holderOf(30, false);
  const key = { idempotencyKey: `patient ${from}` };
  const later = { code: "UNAVAILABLE", reason: "SOURCE_UNAVAILABLE" };
  await expect(transfer(100n, key)).rejects.toMatchObject(later);
  await expect(transfer(100n, key)).rejects.toMatchObject(later);
  expect((await balance()).amount).toBe(100n);
  // What nothing holds can go meanwhile.
  await transfer((await balance()).available);
  await holder.ship(() => true);
  const rest = (await balance()).amount;
  await expect(transfer(100n, key)).rejects.toMatchObject({ reason: "CREDIT_EXHAUSTED" });
  await transfer(rest, { idempotencyKey: "" });
  expect((await balance()).amount).toBe(0n);
});

test("a credit limit that is lowered calls back what is lent beyond it", async () => {
  const limit = (creditLimit: bigint) =>
    metering.credits(root).setCreditLimit({ account: from, currency: "USD", creditLimit }, { timeoutMs });
  await limit(1000n);
  const holder = await holderOf(400);
  await limit(0n);
  await expect.poll(async () => (await balance()).leased).toBe(0n);
  expect(holder.recalled).toContain(wallet);
  expect((await balance()).available).toBe(100n);
});

test("an adjustment takes at once what is lent, and has it called back", async () => {
  const holder = await holderOf(50);
  const adjustment = { account: from, amount: -100n, currency: "USD", reason: "paid by mistake" };
  await metering.credits(root).adjust(adjustment, { timeoutMs });
  await expect.poll(async () => (await balance()).available).toBe(0n);
  expect(holder.recalled).toContain(wallet);
});

test("credit that replicas hold is called back before it is handed down, and never given twice", async () => {
  const credits = metering.credits(root);
  const owner = identity.account(identity.root, `owner-${made}`);
  const team = identity.account(owner, "team");
  const owners = identity.key(owner, "MASTER", undefined, ["fund-manager"]);
  await metering.follower.prove();
  const limit = { account: owner.id, currency: "USD", creditLimit: 100n };
  await credits.setCreditLimit(limit, { timeoutMs });
  const [row] = await metering.query<{ id: string }>("SELECT id FROM wallet WHERE account_id = $1", [
    owner.id,
  ]);
  const holder = new Holder(metering, `lent-${made}`);
  holders.push(holder);
  const ask = () =>
    holder.acquire([owner.id, identity.root.id], { requests: 1 }, { costs: { [row!.id]: 30 } });
  await ask();
  const give = () =>
    metering
      .credits(owners)
      .setCreditLimit({ account: team.id, currency: "USD", creditLimit: 90n }, { timeoutMs });
  await expect(give()).rejects.toMatchObject({ code: "UNAVAILABLE", reason: "SOURCE_UNAVAILABLE" });
  await holder.answerRecalls();
  // It answers recalls from now on: what was said before it listened is said again.
  await expect
    .poll(
      () =>
        give().then(
          ({ balance }) => balance!.creditLimit,
          () => 0n,
        ),
      patiently,
    )
    .toBe(90n);
  expect(holder.recalled).toContain(row!.id);
  const own = (await credits.getBalance({ account: owner.id, currency: "USD" }, { timeoutMs })).balance!;
  expect([own.creditGiven, own.leased, own.available]).toEqual([90n, 0n, 10n]);
});
