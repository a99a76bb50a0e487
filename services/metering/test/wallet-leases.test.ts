import { mintId } from "@gatehouse/keys";
import { AskResult_Outcome as Outcome } from "@gatehouse/proto/metering";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { IdentityLog, startMetering, type TestMetering } from "./fixture.ts";
import { Holder } from "./holder.ts";

const timeoutMs = 5000;
const identity = new IdentityLog();
let postgres: TestPostgres;
let metering: TestMetering;
let account: string;
let nodeIds: string[];
let holders: Holder[];
let made = 0;

beforeAll(async () => {
  postgres = await startTestPostgres();
  metering = await startMetering(postgres.url, identity);
});

afterAll(async () => {
  await metering?.stop();
  await postgres?.stop();
});

beforeEach(async () => {
  metering.time.offsetMs = 0;
  account = identity.account(identity.root, `org-${++made}`).id;
  nodeIds = [account, identity.root.id];
  await metering.follower.prove();
  holders = [];
  return () => {
    for (const holder of holders) holder.stop();
  };
});

async function holder(name: string, answersRecalls = true): Promise<Holder> {
  const holder = new Holder(metering, `${name}-${crypto.randomUUID()}`);
  holders.push(holder);
  if (answersRecalls) await holder.answerRecalls();
  return holder;
}

/** A wallet with a top-up in it. */
async function wallet(balance: number, { currency = "USD", creditLimit = 0 } = {}): Promise<string> {
  const id = mintId("wal");
  await metering.query(
    `INSERT INTO wallet (id, account_id, currency, balance, credit_limit, moved_at) VALUES ($1, $2, $3, $4, $5, now())`,
    [id, account, currency, balance, creditLimit],
  );
  if (balance > 0) {
    await metering.query(
      `INSERT INTO ledger_transfer
         (id, at, kind, organization_id, currency, from_wallet, to_wallet, amount, to_balance)
       VALUES ($1, now(), 'TOP_UP', $2, $3, 'EXTERNAL', $4, $5, $5)`,
      [mintId("txn"), account, currency, id, balance],
    );
  }
  return id;
}

/** What the wallet's row says, and what its rows in the ledger add up to. */
async function stateOf(walletId: string) {
  const [row] = await metering.query<Record<string, string>>(
    `SELECT balance, leased, coalesce((SELECT sum(CASE WHEN to_wallet = $1 THEN amount ELSE -amount END)
       FROM ledger_transfer WHERE $1 IN (from_wallet, to_wallet)), 0) AS ledger,
       (SELECT count(*) FROM ledger_transfer WHERE from_wallet = $1 AND kind = 'USAGE') AS usage_rows
     FROM wallet WHERE id = $1`,
    [walletId],
  );
  const { balance, leased, ledger, usage_rows } = row!;
  expect(ledger).toBe(balance);
  return { balance: Number(balance), leased: Number(leased), usageRows: Number(usage_rows) };
}

const outcomes = ({ results }: { results: { outcome: Outcome }[] }) =>
  results.map(({ outcome }) => Outcome[outcome]);

test("an acquire answers whom accounts draw on, and lends of their wallets", async () => {
  const usd = await wallet(100);
  const credits = await wallet(5, { currency: "credits" });
  const one = await holder("one");
  const answer = await one.acquire(nodeIds, { requests: 1 }, { costs: { [usd]: 10 } });
  const money = answer.limits.find(({ nodeId }) => nodeId === account)!;
  expect(money.wallets.map(({ id, currency }) => [id, currency])).toEqual([
    [usd, "USD"],
    [credits, "credits"],
  ]);
  expect(money.usesParentBalance).toBe(false);
  // Ten times the need, but no more than half of what there is.
  expect(answer.leases.map(({ limitId, units, remaining }) => [limitId, units, remaining])).toEqual([
    [usd, 50n, 50n],
  ]);
  expect(await stateOf(usd)).toEqual({ balance: 100, leased: 50, usageRows: 0 });
});

test("what a batch says was spent is one row of the ledger, once, and what is closed comes back", async () => {
  const usd = await wallet(100);
  const one = await holder("one");
  await one.acquire(nodeIds, { requests: 1 }, { costs: { [usd]: 10 } });
  await one.acquire(nodeIds, { requests: 1 }, { costs: { [usd]: 20 } });
  one.pay(usd, 7);
  await one.ship();
  const { leased } = await stateOf(usd);
  expect(await stateOf(usd)).toEqual({ balance: 93, leased, usageRows: 1 });
  one.pay(usd, 3);
  const [lease] = one.leases;
  const again = one.batch({ leases: [{ leaseId: lease![0], spent: 3n, closed: true }] });
  await metering.ingest.ingestBatch(again, { timeoutMs });
  await metering.ingest.ingestBatch(again, { timeoutMs });
  const after = await stateOf(usd);
  expect([after.balance, after.usageRows]).toEqual([90, 2]);
  expect(after.leased).toBeLessThan(leased);
});

test("of what a wallet has exactly that is spent, by holders that answer recalls", async () => {
  const usd = await wallet(40);
  const both = [await holder("a"), await holder("b")];
  const spend = async (one: Holder, cost: number): Promise<number> => {
    let spent = 0;
    const untilMs = performance.now() + 20_000;
    while (performance.now() < untilMs) {
      try {
        one.pay(usd, cost);
        spent += cost;
        await one.ship();
        continue;
      } catch {}
      const held = [...one.leases.values()].filter(({ limitId }) => limitId === usd);
      // What does not pay for a call any more is in the way of those that it would pay for together.
      if (held.length > 0) await one.ship((id) => id === usd);
      const [outcome] = outcomes(await one.acquire(nodeIds, { requests: 1 }, { costs: { [usd]: cost } }));
      if (outcome === "EXHAUSTED") return spent;
    }
    throw new Error("neither admitted nor exhausted");
  };
  const spent = await Promise.all(both.map((one) => spend(one, 1)));
  for (const one of both) await one.ship(() => true);
  expect(spent[0]! + spent[1]!).toBe(40);
  expect(await stateOf(usd)).toMatchObject({ balance: 0, leased: 0 });
});

test("the credit limit can be drawn as well, and not a micro more", async () => {
  const usd = await wallet(0, { creditLimit: 9 });
  const one = await holder("one");
  expect(outcomes(await one.acquire(nodeIds, {}, { costs: { [usd]: 10 } }))).toEqual(["EXHAUSTED"]);
  expect(outcomes(await one.acquire(nodeIds, {}, { costs: { [usd]: 9 } }))).toEqual(["GRANTED"]);
  one.pay(usd, 9);
  await one.ship(() => true);
  expect(await stateOf(usd)).toMatchObject({ balance: -9, leased: 0 });
});

test("what a vanished holder has is neither there nor spent until its batch comes", async () => {
  const usd = await wallet(10);
  const [gone, one] = [await holder("gone", false), await holder("one")];
  await gone.acquire(nodeIds, {}, { costs: { [usd]: 8 } });
  expect(outcomes(await one.acquire(nodeIds, {}, { costs: { [usd]: 5 } }))).toEqual(["NOT_NOW"]);
  metering.time.offsetMs += 66_000;
  // Nobody waits for it any more, but nobody gets it either.
  const refused = await one.acquire(nodeIds, {}, { costs: { [usd]: 5 } });
  expect([outcomes(refused), refused.results[0]!.remaining]).toEqual([["EXHAUSTED"], 2n]);
  expect(await stateOf(usd)).toEqual({ balance: 10, leased: 8, usageRows: 0 });
  gone.pay(usd, 6);
  await gone.ship(() => true);
  expect(await stateOf(usd)).toEqual({ balance: 4, leased: 0, usageRows: 1 });
});

test("an epoch's last batch closes what it holds of wallets, heard of or not", async () => {
  const usd = await wallet(10);
  const one = await holder("one");
  await one.acquire(nodeIds, {}, { costs: { [usd]: 8 } });
  const [leaseId] = one.leases.keys();
  await metering.ingest.ingestBatch(one.batch({ leases: [{ leaseId: leaseId!, spent: 2n }], final: true }), {
    timeoutMs,
  });
  expect(await stateOf(usd)).toEqual({ balance: 8, leased: 0, usageRows: 1 });
});

test("a call is lent of its limits and of its wallet, or of none", async () => {
  const usd = await wallet(3);
  const key = identity.key(identity.root);
  await metering.follower.prove();
  const allowance = { case: "quota", value: { units: 100n, window: 6 } } as const;
  const node = { case: "account", value: account } as const;
  await metering.limits(key).setLimit({ node, allowance }, { timeoutMs });
  const one = await holder("one");
  const refused = await one.acquire(nodeIds, { requests: 1 }, { costs: { [usd]: 4 } });
  expect([outcomes(refused), refused.results[0]!.limitId, refused.leases]).toEqual([["EXHAUSTED"], usd, []]);
  const granted = await one.acquire(nodeIds, { requests: 1 }, { costs: { [usd]: 3 } });
  expect(granted.leases).toHaveLength(2);
});

test("what a holder has of wallets is told apart, and who draws on the parent's", async () => {
  const usd = await wallet(100, { creditLimit: 20 });
  const child = identity.account({ ...identity.root, id: account, parentId: identity.root.id }, "child").id;
  await metering.follower.prove();
  await metering.query("INSERT INTO account_balance_source VALUES ($1, true)", [child]);
  const [one, other] = [await holder("one"), await holder("other")];
  const path = [child, account, identity.root.id];
  const { limits } = await one.acquire(path, {}, { costs: { [usd]: 10 } });
  await other.acquire(path, {}, { costs: { [usd]: 5 } });
  expect(limits.map((node) => [node.nodeId, node.usesParentBalance, node.wallets.length])).toEqual([
    [child, true, 0],
    [account, false, 1],
    [identity.root.id, false, 0],
  ]);
  const { money } = await metering.leases.readBuckets({ nodeIds: path, holder: one.name }, { timeoutMs });
  expect(money.map(({ accountId, usesParentBalance }) => [accountId, usesParentBalance])).toEqual([
    [child, true],
    [account, false],
    [identity.root.id, false],
  ]);
  const [reading] = money[1]!.wallets;
  expect(reading).toMatchObject({ id: usd, currency: "USD", balance: 100n, creditLimit: 20n });
  expect(reading!.leasedToHolder).toBeGreaterThan(9n);
  expect(reading!.leased).toBeGreaterThan(reading!.leasedToHolder);
});

test("the price book has what is in force or will be, with the position that it is true at", async () => {
  const price = (id: string, effectiveAt: string, plan = "") =>
    metering.query(
      `INSERT INTO price (id, meter, resource, plan, account_type, currency, micros, per_units, effective_at)
       VALUES ($1, 'tokens', '', $3, '', 'USD', 150000, 1000000, now() + $2::interval)`,
      [id, effectiveAt, plan],
    );
  await price("prc_1", "-3 days");
  await price("prc_2", "-2 days");
  await price("prc_3", "-1 second");
  await price("prc_4", "1 day");
  await price("prc_5", "-9 days", "free");
  const { prices, head } = await metering.feed.readPriceBook({}, { timeoutMs });
  expect(prices.map(({ id }) => id)).toEqual(["prc_2", "prc_3", "prc_4", "prc_5"]);
  expect(prices[0]).toMatchObject({
    meter: "tokens",
    currency: "USD",
    micros: 150_000n,
    perUnits: 1_000_000n,
  });
  expect(head).toEqual((await metering.feed.getHead({}, { timeoutMs })).head);
});

test("an ask names a wallet once, and amounts that can be counted", async () => {
  const ask = {
    nodeIds,
    walletNeeds: [
      { walletId: "wal_1", micros: -1n },
      { walletId: "wal_1", micros: 1n },
      { walletId: "", micros: 1n },
    ],
  };
  const refused = metering.leases.acquire({ holder: "h/1", asks: [ask] }, { timeoutMs });
  await expect(refused).rejects.toMatchObject({
    code: "INVALID_ARGUMENT",
    violations: [
      { field: "asks[0].wallet_needs[0].micros" },
      { field: "asks[0].wallet_needs[2].wallet_id" },
      { field: "asks[0].wallet_needs" },
    ],
  });
});
