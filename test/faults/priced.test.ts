import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { DecisionCode } from "@gatehouse/proto/authz";
import { beforeAll, describe, expect, test } from "vitest";
import { timely } from "../system/caller.ts";
import { measured } from "../system/measured.ts";
import { makeOrganization, type Organization } from "../system/organization.ts";
import { until, untilMs } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";
import { type Answer, ask, askUntilValid, countCodes } from "../system/verifying.ts";
import { costsBelow, settledWallet, topUp, USD, walletOf } from "./money-books.ts";
import { admitted, lostBefore, type Spender, spendUntilRefused } from "./spend-until-refused.ts";

/** P2, P3 and P5 of calls that cost money. */

const CALLERS = 32;
const N = 400;
const PRICE = 7;

/** The third replica keeps no spool: the mechanism off. */
const system = useSystem({ replicas: [{}, {}, { environment: { GATEHOUSE_SPOOL_SYNC: "off" } }] });

let meters = 0;
/** A meter of its own, so that what a test prices is priced for nobody else. */
async function meterAt(price: number, more: object = {}): Promise<string> {
  const meter = `paid_${++meters}`;
  await system().root.meters.createMeter({ name: meter }, timely);
  if (price > 0) await setPrice(meter, price, more);
  return meter;
}

async function setPrice(meter: string, price: number, more: object = {}): Promise<void> {
  await system().root.credits.setPrice({ meter, currency: USD, price: BigInt(price), ...more }, timely);
}

const once = (meter: string, units = 1) => [{ meter, units: BigInt(units) }];

/** Callers of the first subaccount, or of those that are named, spread over them and over both replicas. */
function spendersOf({ subaccounts }: Organization, which = [0], replicas = 2): Spender[] {
  return Array.from({ length: CALLERS }, (_, i) => ({
    key: subaccounts[which[i % which.length]!]!.key.secret,
    replica: Math.floor(i / which.length) % replicas,
  }));
}

const costOf = (answers: readonly Answer[]) => answers.reduce((sum, { cost = 0 }) => sum + cost, 0);

/** Waits until usage cost so much; more than that is the test's to judge. */
async function bookedCosts({ master, id }: Organization, least: number) {
  return until(
    `${least} micros are booked`,
    async () => {
      const costs = await costsBelow(master, id);
      return costs.usage >= least && costs;
    },
    60_000,
  );
}

/** The same once nothing is lent of the payer's wallet any more, with that. */
async function settledCosts(made: Organization, payer: string, least: number) {
  await bookedCosts(made, least);
  const wallet = await settledWallet(made.master, payer);
  return { ...(await costsBelow(made.master, made.id)), ...wallet };
}

describe("a prepaid balance, two replicas, 32 callers that try again", () => {
  test("admits exactly the calls that it pays for", async () => {
    const meter = await meterAt(PRICE);
    const made = await makeOrganization(system(), "Prepaid", ["one"]);
    const { id } = made.subaccounts[0]!;
    await topUp(system().root, id, N * PRICE);
    const answers = await spendUntilRefused(system().root, spendersOf(made), { charges: once(meter) });
    measured("prepaid balance", { admitted: admitted(answers), codes: countCodes(answers) });
    expect(admitted(answers)).toBe(N);
    expect(countCodes(answers)).toMatchObject({ CREDIT_EXHAUSTED: CALLERS });
    expect(costOf(answers)).toBe(N * PRICE);
    const books = await settledCosts(made, id, N * PRICE);
    expect(books).toEqual({ usage: N * PRICE, ledger: N * PRICE, balance: 0, leased: 0 });
  });

  test("fractions of a micro are carried: the calls cost what their units together do", async () => {
    const meter = await meterAt(150_000, { perUnits: 1_000_000n });
    const made = await makeOrganization(system(), "Fractions", ["one"]);
    await topUp(system().root, made.subaccounts[0]!.id, 1_000_000);
    const charges = once(meter, 101);
    const answers = await spendUntilRefused(system().root, spendersOf(made), { charges, maxCalls: 20 });
    const calls = admitted(answers);
    const exact = (calls * 101 * 150_000) / 1_000_000;
    measured("costs of 101 tokens at 0.15 micros", { calls, exact, charged: costOf(answers) });
    // Each replica keeps back less than a micro.
    expect(costOf(answers)).toBeGreaterThan(exact - 2);
    expect(costOf(answers)).toBeLessThanOrEqual(exact);
    const books = await bookedCosts(made, costOf(answers));
    expect(books).toEqual({ usage: costOf(answers), ledger: costOf(answers) });
  });

  test("that is not priced admits more than it holds, and the same check says so", async () => {
    const meter = await meterAt(0);
    const made = await makeOrganization(system(), "Unpriced", ["one"]);
    await topUp(system().root, made.subaccounts[0]!.id, N * PRICE);
    const charges = once(meter);
    const answers = await spendUntilRefused(system().root, spendersOf(made), { charges, maxCalls: 20 });
    expect(admitted(answers)).toBeGreaterThan(N);
    expect(costOf(answers)).toBe(0);
  });
});

test("a retry, a batch and an explanation say the same cost, and only what was decided is charged", async () => {
  const meter = await meterAt(PRICE);
  const made = await makeOrganization(system(), "Retried", ["one"]);
  const { id, key } = made.subaccounts[0]!;
  await topUp(system().root, id, 4 * PRICE);
  const verifier = system().root.authz[0]!;
  const call = { key: key.secret, charges: once(meter) };
  const expected = [{ currency: USD, micros: BigInt(PRICE) }];
  await askUntilValid(system().root, 0, call);
  for (const _ of ["first", "again"]) {
    expect((await verifier.verify({ ...call, requestId: "one" }, timely)).cost).toMatchObject(expected);
  }
  const explained = await verifier.explain(call, timely);
  expect(explained.decision!.cost).toMatchObject(expected);
  expect(explained.buckets).toMatchObject([{ kind: "wallet", currency: USD, units: BigInt(PRICE) }]);
  const { responses } = await verifier.batchVerify({ requests: [call, call, call] }, timely);
  expect(responses.map(({ cost }) => cost.length)).toEqual([1, 1, 0]);
  expect(DecisionCode[responses[2]!.code]).toBe("CREDIT_EXHAUSTED");
  expect(responses[2]!.bindingLimit).toMatchObject({ nodeId: id, remaining: 0n });
  expect(responses[2]!.retryAfter).toBeUndefined();
  const books = await settledCosts(made, id, 4 * PRICE);
  expect(books).toEqual({ usage: 4 * PRICE, ledger: 4 * PRICE, balance: 0, leased: 0 });
});

test("a top-up revives at once", async () => {
  const meter = await meterAt(PRICE);
  const made = await makeOrganization(system(), "Revived", ["one"]);
  const { id, key } = made.subaccounts[0]!;
  const call = { key: key.secret, charges: once(meter) };
  const codes = () =>
    Promise.all([0, 1].map(async (replica) => (await ask(system().root, replica, call)).code));
  const isRefused = async () => (await codes()).every((code) => code === "CREDIT_EXHAUSTED");
  const delays: number[] = [];
  for (let round = 0; round < 5; round++) {
    // Which is remembered for two seconds.
    await until("both replicas refuse", isRefused);
    await topUp(system().root, id, PRICE);
    const sinceMs = performance.now();
    await askUntilValid(system().root, round % 2, call);
    delays.push(performance.now() - sinceMs);
  }
  measured("from a top-up to the first call", {
    "greatest ms": Math.max(...delays),
    ms: delays.map(Math.round),
  });
  // Without the bell it is what is left of the two seconds.
  expect(delays.sort((a, b) => a - b)[2]).toBeLessThan(1000);
});

test("calls draw on the account's own balance, or on its parent's", async () => {
  const meter = await meterAt(PRICE);
  const made = await makeOrganization(system(), "Parents", ["one", "two"]);
  const [one, two] = made.subaccounts;
  const calls = 5;
  await topUp(system().root, made.id, calls * PRICE);
  const setSource = (account: string, usesParentBalance: boolean) =>
    made.master.credits.setBalanceSource({ account, usesParentBalance }, timely);
  const spend = (which: number[]) =>
    spendUntilRefused(system().root, spendersOf(made, which), { charges: once(meter) });
  // The parent has money, and it is not theirs.
  expect(admitted(await spend([0, 1]))).toBe(0);
  await setSource(one!.id, true);
  await setSource(two!.id, true);
  await askUntilValid(system().root, 0, { key: one!.key.secret, charges: once(meter) });
  const answers = await spend([0, 1]);
  expect(admitted(answers)).toBe(calls - 1);
  const books = await settledCosts(made, made.id, calls * PRICE);
  expect(books).toEqual({ usage: calls * PRICE, ledger: calls * PRICE, balance: 0, leased: 0 });
  await setSource(one!.id, false);
  await topUp(system().root, one!.id, PRICE);
  await askUntilValid(system().root, 1, { key: one!.key.secret, charges: once(meter) });
  expect((await ask(system().root, 1, { key: two!.key.secret, charges: once(meter) })).code).toBe(
    "CREDIT_EXHAUSTED",
  );
});

test("a price is in force from its date on, and not before", async () => {
  const meter = await meterAt(PRICE);
  const made = await makeOrganization(system(), "Dated", ["one"]);
  const { id, key } = made.subaccounts[0]!;
  await topUp(system().root, id, 100_000_000);
  const fromMs = Date.now() + 1500;
  await setPrice(meter, 2 * PRICE, { effectiveAt: timestampFromMs(fromMs) });
  const seen: { sentMs: number; receivedMs: number; cost: number | undefined }[] = [];
  while (Date.now() < fromMs + 500) {
    const sentMs = Date.now();
    const { code, cost } = await ask(system().root, seen.length % 2, {
      key: key.secret,
      charges: once(meter),
    });
    if (code === "VALID") seen.push({ sentMs, receivedMs: Date.now(), cost });
    await untilMs(performance.now() + 10);
  }
  const before = seen.filter(({ receivedMs }) => receivedMs < fromMs);
  const after = seen.filter(({ sentMs }) => sentMs >= fromMs);
  measured("calls around the date of a price", { before: before.length, after: after.length });
  expect(new Set(before.map(({ cost }) => cost))).toEqual(new Set([PRICE]));
  expect(new Set(after.map(({ cost }) => cost))).toEqual(new Set([2 * PRICE]));
});

test("a credit limit is spent to its end, and a lowered one takes back what was lent", async () => {
  const meter = await meterAt(PRICE);
  const made = await makeOrganization(system(), "Credit", ["one"]);
  const { id } = made.subaccounts[0]!;
  const setLimit = (micros: number) =>
    system().root.credits.setCreditLimit({ account: id, currency: USD, creditLimit: BigInt(micros) }, timely);
  await setLimit(N * PRICE);
  const spenders = spendersOf(made);
  const answers = await spendUntilRefused(system().root, spenders, { charges: once(meter) });
  expect(admitted(answers)).toBe(N);
  expect((await settledWallet(made.master, id)).balance).toBe(-N * PRICE);
  await setLimit(1000 * N * PRICE);
  await askUntilValid(system().root, 0, { key: spenders[0]!.key, charges: once(meter) });
  expect((await walletOf(made.master, id)).leased).toBeGreaterThan(0);
  await setLimit(0);
  await until(
    "replicas give back what was lent",
    async () => (await walletOf(made.master, id)).leased === 0,
    20_000,
  );
  const refused = await ask(system().root, 0, { key: spenders[0]!.key, charges: once(meter) });
  expect(refused.code).toBe("CREDIT_EXHAUSTED");
});

test("a reservation holds what its estimate costs, and is billed at what was used", async () => {
  const meter = await meterAt(PRICE);
  const made = await makeOrganization(system(), "Reserving money", ["one"]);
  const { id, key } = made.subaccounts[0]!;
  await topUp(system().root, id, 20 * PRICE);
  const reserve = async (replica: number, units: number) => {
    const call = { key: key.secret, charges: once(meter, units), reserveTtl: durationFromMs(60_000) };
    return until("a reservation is answered", async () => {
      const { code, decisionId, cost } = await system().root.authz[replica]!.verify(call, timely);
      return (
        code !== DecisionCode.INDETERMINATE && { code: DecisionCode[code], decisionId, cost: cost[0]?.micros }
      );
    });
  };
  const one = await reserve(0, 10);
  const other = await reserve(1, 10);
  expect([one.cost, other.cost]).toEqual([10n * BigInt(PRICE), 10n * BigInt(PRICE)]);
  // All of it is held.
  expect((await reserve(0, 1)).code).toBe("CREDIT_EXHAUSTED");
  const { usage } = system().root;
  await usage.commitReservation({ decisionId: one.decisionId, charges: once(meter, 4) }, timely);
  await usage.releaseReservation({ decisionId: other.decisionId }, timely);
  await until(
    "both are settled",
    async () => (await walletOf(made.master, id)).balance === 16 * PRICE,
    20_000,
  );
  const last = await until("what was given back is there again", async () => {
    const again = await reserve(1, 16);
    return again.code === "VALID" && again;
  });
  await usage.commitReservation({ decisionId: last.decisionId, charges: once(meter, 20) }, timely);
  const costs = await bookedCosts(made, 24 * PRICE);
  expect(costs).toEqual({ usage: 24 * PRICE, ledger: 24 * PRICE });
  // Said again once they are booked, commits are answered what the calls cost in the end.
  for (const [{ decisionId }, units] of [
    [one, 4],
    [last, 20],
  ] as const) {
    const { pending, cost } = await usage.commitReservation(
      { decisionId, charges: once(meter, units) },
      timely,
    );
    expect(pending).toBe(false);
    expect(cost).toMatchObject([{ currency: USD, micros: BigInt(units * PRICE) }]);
  }
  expect((await settledWallet(made.master, id)).balance).toBe(-4 * PRICE);
});

describe("a replica and metering killed in the middle of spending", () => {
  let made: Organization;
  let payer: string;
  let answers: readonly Answer[];
  let lost = 0;

  beforeAll(async () => {
    const meter = await meterAt(PRICE);
    made = await makeOrganization(system(), "Killed", ["one"]);
    payer = made.subaccounts[0]!.id;
    await topUp(system().root, payer, N * PRICE);
    const { process } = system().replicas[1]!;
    let sofar = 0;
    let killedMs = 0;
    let restarted: Promise<unknown> | undefined;
    const onAnswer = ({ code }: Answer) => {
      if (code === "VALID") sofar++;
      if (sofar < N * 0.4 || restarted !== undefined) return;
      killedMs = performance.now();
      restarted = Promise.all([process.restart(), system().metering.restart()]);
    };
    const spenders = spendersOf(made);
    answers = await spendUntilRefused(system().root, spenders, { onAnswer, charges: once(meter) });
    await restarted;
    lost = lostBefore(answers, killedMs);
    measured("prepaid balance, killed at 160", {
      admitted: admitted(answers),
      codes: countCodes(answers),
      "lost answers": lost,
    });
  }, 120_000);

  test("lets nobody spend more than there is", () => {
    expect(costOf(answers)).toBeLessThanOrEqual(N * PRICE);
  });

  test("spooled = usage = ledger, to the micro, and nothing is left behind", async () => {
    const books = await settledCosts(made, payer, costOf(answers));
    measured("the books after the kill", { ...books, answered: costOf(answers) });
    expect(books.usage).toBe(books.ledger);
    expect(books.balance).toBe(N * PRICE - books.ledger);
    expect(books.ledger).toBeGreaterThanOrEqual(costOf(answers));
    expect(books.ledger).toBeLessThanOrEqual(costOf(answers) + lost * PRICE);
    expect(books.leased).toBe(0);
  });
});

test("without a spool a killed replica takes what it spent with it, and the same check says so", async () => {
  const meter = await meterAt(PRICE);
  const made = await makeOrganization(system(), "Unspooled", ["one"]);
  const { id, key } = made.subaccounts[0]!;
  await topUp(system().root, id, N * PRICE);
  const { process } = system().replicas[2]!;
  const call = { key: key.secret, charges: once(meter) };
  await askUntilValid(system().root, 2, call);
  const answers = await Promise.all(Array.from({ length: 10 }, () => ask(system().root, 2, call)));
  await process.kill();
  await process.start();
  await askUntilValid(system().root, 2, call);
  await until(
    "the new epoch's batch has come",
    async () => (await costsBelow(made.master, made.id)).usage > 0,
  );
  const { usage, ledger } = await costsBelow(made.master, made.id);
  expect(usage).toBe(ledger);
  expect(usage).toBeLessThan(costOf(answers) + 2 * PRICE);
  // Nobody knows what became of what was lent: it is neither there nor spent.
  expect((await walletOf(made.master, id)).leased).toBeGreaterThan(0);
});
