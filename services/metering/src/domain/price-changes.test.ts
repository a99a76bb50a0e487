import fc from "fast-check";
import { expect, test } from "vitest";
import { chargedInTheEnd, postingsOf, priceChanges, type UnpricedChange } from "./price-changes.ts";
import { FakePricing, priceOf } from "./pricing.fixture.ts";
import type { HeldEstimate } from "./reservation.ts";

const MINUTE = 30_000_000;

function heldOf(more: Partial<HeldEstimate> = {}): HeldEstimate {
  return {
    ...{ keyId: "key_1", parentKeyId: "", accountId: "acc_1", resource: "", minute: MINUTE },
    estimate: new Map([["tokens", 90]]),
    draws: [],
    costs: [{ meter: "tokens", priceId: "prc_1", currency: "USD", micros: 60 }],
    walletIds: ["wal_1"],
    ...more,
  };
}

function pricingOf(...prices: Parameters<typeof priceOf>[0][]): FakePricing {
  const pricing = new FakePricing();
  pricing.all.push(...prices.map(priceOf));
  pricing.open.set("wal_1", "USD").set("wal_2", "credits");
  pricing.payers.set("acc_1", { accountType: "", plan: "pro", payerId: "acc_org" });
  return pricing;
}

async function posted(pricing: FakePricing, changes: readonly UnpricedChange[]) {
  const prices = await priceChanges(pricing, changes);
  return postingsOf(
    pricing,
    changes.map((change, i) => ({ ...change, ...prices[i]! })),
  );
}

const change = (units: number, more: Partial<UnpricedChange> = {}): UnpricedChange => ({
  ...{ decisionId: "dec_1", held: heldOf(), meter: "tokens", units },
  ...more,
});

test("what a call cost stands at the price of its decision, and nothing used costs nothing", async () => {
  const calls = fc.record({
    micros: fc.integer({ min: 1, max: 1000 }),
    perUnits: fc.integer({ min: 1, max: 1000 }),
    estimate: fc.integer({ min: 1, max: 10_000 }),
    used: fc.nat({ max: 20_000 }),
    carried: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(calls, async ({ micros, perUnits, estimate, used, carried }) => {
      fc.pre(used !== estimate);
      const charged = Math.floor((estimate * micros) / perUnits) + Number(carried);
      const held = heldOf({
        estimate: new Map([["tokens", estimate]]),
        costs: [{ meter: "tokens", priceId: "prc_1", currency: "USD", micros: charged }],
      });
      // Another price is in force by now.
      const pricing = pricingOf({ micros, perUnits }, { id: "prc_2", micros: 999, effectiveAtMs: 1 });
      const [{ cost } = { cost: 0 }] = await priceChanges(pricing, [change(used - estimate, { held })]);
      const final = charged + cost;
      if (used === 0) expect(final).toBe(0);
      else expect(Math.abs(final - (used * micros) / perUnits)).toBeLessThanOrEqual(2);
      expect(final).toBeGreaterThanOrEqual(0);
    }),
  );
});

test("the difference goes where the estimate was taken, once for a decision and wallet", async () => {
  const held = heldOf({
    estimate: new Map([
      ["tokens", 90],
      ["images", 1],
    ]),
    costs: [
      { meter: "tokens", priceId: "prc_1", currency: "USD", micros: 60 },
      { meter: "images", priceId: "prc_3", currency: "USD", micros: 500 },
    ],
    walletIds: ["wal_2", "wal_1"],
  });
  const pricing = pricingOf({}, { id: "prc_3", meter: "images", micros: 500, perUnits: 1 });
  const changes = [
    change(-30, { held }),
    change(2, { held, meter: "images" }),
    change(3, { decisionId: "dec_2" }),
  ];
  expect(await posted(pricing, changes)).toEqual([
    { reference: "reservation dec_1", walletId: "wal_1", micros: 980 },
    { reference: "reservation dec_2", walletId: "wal_1", micros: 2 },
  ]);
});

test("a meter without an estimate is priced as of its minute, and its payer pays", async () => {
  const held = heldOf({ estimate: new Map(), costs: [], walletIds: [] });
  const pricing = pricingOf(
    { id: "prc_1", micros: 1, perUnits: 1 },
    { id: "prc_2", micros: 5, perUnits: 1, plan: "pro" },
    { id: "prc_3", micros: 9, perUnits: 1, plan: "pro", effectiveAtMs: MINUTE * 60_000 + 1 },
  );
  expect(await posted(pricing, [change(10, { held })])).toEqual([
    { reference: "reservation dec_1", walletId: "wal_acc_org_USD", micros: 50 },
  ]);
});

test("what was free stays free, and the provider's own account pays for nothing", async () => {
  const free = heldOf({ costs: [], walletIds: [] });
  expect(await priceChanges(pricingOf({}), [change(10, { held: free })])).toEqual([
    { cost: 0, currency: "" },
  ]);
  const pricing = pricingOf({});
  pricing.payers.set("acc_root", { accountType: "", plan: "", payerId: undefined });
  const held = heldOf({ accountId: "acc_root", estimate: new Map(), costs: [], walletIds: [] });
  expect(await posted(pricing, [change(10, { held })])).toEqual([]);
});

test("what a reservation costs in the end is its estimate's cost and the differences, by currency", () => {
  const held = heldOf({
    costs: [
      { meter: "tokens", priceId: "prc_1", currency: "USD", micros: 60 },
      { meter: "images", priceId: "prc_3", currency: "USD", micros: 500 },
      { meter: "seats", priceId: "prc_4", currency: "credits", micros: 7 },
    ],
  });
  const free = { cost: 0, currency: "" };
  expect(Object.fromEntries(chargedInTheEnd(held, []))).toEqual({ USD: 560, credits: 7 });
  const changes = [{ cost: -20, currency: "USD" }, { cost: -7, currency: "credits" }, free];
  expect(Object.fromEntries(chargedInTheEnd(held, changes))).toEqual({ USD: 540 });
  expect(chargedInTheEnd(heldOf({ costs: [] }), [free]).size).toBe(0);
});
