import fc from "fast-check";
import { expect, test } from "vitest";
import { walletLimit } from "./limit.ts";
import { NodeLimits } from "./limit-book.ts";
import { LocalBucket } from "./local-bucket.ts";
import { priceOf, pricesOf } from "./price-book.fixture.ts";
import { MAX_MICROS, pay, reckon, refund, tollsOf } from "./toll.ts";

const TERMS = { accountType: "", plan: "" };

/** An account with wallets in these currencies, and its parents. */
function accounts(...levels: { currencies?: string[]; usesParentBalance?: boolean }[]): NodeLimits[] {
  const nodes = levels.map(({ currencies = [], usesParentBalance = false }, i) => {
    const wallets = currencies.map(
      (name) => new LocalBucket(walletLimit(`wal_${i}_${name}`, `acc_${i}`, name)),
    );
    return new NodeLimits(`acc_${i}`, [], wallets, usesParentBalance);
  });
  return [...nodes, new NodeLimits("acc_root", [], [], false)];
}

const tokens = (units: number) => [{ meter: "tokens", units }];

test("what many calls cost adds up to what their units together cost, but for less than a micro", async () => {
  const price = fc.record({
    micros: fc.integer({ min: 1, max: 10 ** 9 }),
    perUnits: fc.integer({ min: 1, max: 10 ** 7 }),
  });
  const call = fc.record({ units: fc.integer({ min: 1, max: 10 ** 6 }), isUndone: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(price, fc.array(call, { maxLength: 40 }), async (terms, calls) => {
      const prices = await pricesOf([priceOf({ meter: "tokens", ...terms })]);
      const nodes = accounts({ currencies: ["USD"] });
      let micros = 0n;
      let units = 0n;
      const undone: ReturnType<typeof pay>[] = [];
      for (const each of calls) {
        const needs = tokens(each.units);
        // Anew each time: what is carried hangs on the wallet, not on the plan.
        const { tolls } = tollsOf(nodes, "", TERMS, needs, prices, 1);
        reckon(tolls!, needs);
        const payments = pay(tolls!);
        if (each.isUndone) undone.push(payments);
        else {
          micros += BigInt(payments[0]!.micros);
          units += BigInt(each.units);
        }
        // The journal says so a turn later.
        if (!each.isUndone) for (const payments of undone.splice(0)) refund(payments);
      }
      for (const payments of undone) refund(payments);
      const { perUnits } = terms;
      const { parts } = nodes[0]!.wallets[0]!.carryOf("prc_1");
      expect(micros * BigInt(perUnits) + BigInt(parts)).toBe(units * BigInt(terms.micros));
    }),
  );
});

test("a call draws on one wallet for each of its currencies", async () => {
  const prices = await pricesOf([
    { id: "prc_1", meter: "requests", micros: 3 },
    { id: "prc_2", meter: "tokens", micros: 150_000, perUnits: 1_000_000 },
    { id: "prc_3", meter: "images", currency: "credits", micros: 1_000_000 },
  ]);
  const needs = ["requests", "tokens", "images"].map((meter) => ({ meter, units: 1000 }));
  const [account, root] = accounts({ currencies: ["USD", "credits"] });
  const { tolls } = tollsOf([account!, root!], "", TERMS, needs, prices, 1);
  reckon(tolls!, needs);
  expect(tolls!.dues.map(({ bucket, units }) => [bucket.limit.id, units])).toEqual([
    ["wal_0_USD", 3150],
    ["wal_0_credits", 1_000_000_000],
  ]);
});

test("who uses the parent's balance has the parent's wallet drawn on, and the provider pays for nothing", async () => {
  const prices = await pricesOf([{ meter: "tokens" }]);
  const needs = tokens(5);
  const wallet = (nodes: NodeLimits[]) =>
    tollsOf(nodes, "", TERMS, needs, prices, 1).tolls?.dues.map(({ bucket }) => bucket.limit.nodeId);
  const usd = { currencies: ["USD"] };
  expect(wallet(accounts(usd, usd))).toEqual(["acc_0"]);
  expect(wallet(accounts({ ...usd, usesParentBalance: true }, usd))).toEqual(["acc_1"]);
  expect(wallet(accounts({ usesParentBalance: true }, { usesParentBalance: true }))).toBeUndefined();
  expect(wallet(accounts())).toBeUndefined();
});

test("without a wallet in a price's currency nothing can be paid", async () => {
  const prices = await pricesOf([{ meter: "tokens", micros: 1, perUnits: 1_000_000 }]);
  const of = (currencies: string[], units: number) =>
    tollsOf(accounts({ currencies }), "", TERMS, tokens(units), prices, 1).tolls?.isUnpayable;
  expect([of([], 1), of(["credits"], 1), of(["USD"], 1)]).toEqual([true, true, false]);
  // Whoever asks for nothing pays nothing.
  expect(of([], 0)).toBeUndefined();
});

test("what nobody can have is owed by nobody", async () => {
  const prices = await pricesOf([{ meter: "tokens", micros: 2 ** 20 }]);
  const owes = (units: number) => {
    const { tolls } = tollsOf(accounts({ currencies: ["USD"] }), "", TERMS, tokens(units), prices, 1);
    return reckon(tolls!, tokens(units));
  };
  expect([owes(MAX_MICROS / 2 ** 20), owes(MAX_MICROS / 2 ** 20 + 1), owes(2 ** 48)]).toEqual([
    true,
    false,
    false,
  ]);
});
