import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compare, costOf, type Price, priceInForce } from "./price.ts";

const use = { meter: "tokens", resource: "model.chat", plan: "gold", accountType: "trading" };
let made = 0;

function priceOf(terms: Partial<Price>): Price {
  return {
    id: `prc_${String(made++).padStart(6, "0")}`,
    meter: "tokens",
    resource: "",
    plan: "",
    accountType: "",
    currency: "USD",
    micros: 1,
    perUnits: 1,
    effectiveAtMs: 0,
    ...terms,
  };
}

/** The language of scopes, written naively. */
function matches(pattern: string, resource: string): boolean {
  const text = pattern
    .split(".")
    .map((segment, i) =>
      segment === "**" ? `(${i === 0 ? "" : "\\."}.+)?` : `${i === 0 ? "" : "\\."}${segment}`,
    )
    .join("")
    .replaceAll(/(^|\.)\*/g, "$1[^.]+");
  return new RegExp(`^${text}$`).test(resource);
}

const found = (prices: readonly Price[], nowMs = 0, of: Partial<typeof use> = {}) =>
  priceInForce(prices, { ...use, ...of }, nowMs, matches).price;

describe("the price in force", () => {
  test("is the most specific: resource, then account type, then plan", () => {
    const ascending = [
      priceOf({}),
      priceOf({ plan: "gold" }),
      priceOf({ accountType: "trading" }),
      priceOf({ accountType: "trading", plan: "gold" }),
      priceOf({ resource: "**" }),
      priceOf({ resource: "**", accountType: "trading", plan: "gold" }),
      priceOf({ resource: "*.**" }),
      priceOf({ resource: "*.chat" }),
      priceOf({ resource: "model.**" }),
      priceOf({ resource: "model.*" }),
      priceOf({ resource: "model.chat.**" }),
      priceOf({ resource: "model.chat" }),
    ];
    for (let count = 1; count <= ascending.length; count++) {
      const prices = ascending.slice(0, count);
      expect(found(prices)).toBe(prices.at(-1));
      expect(found(prices.toReversed())).toBe(prices.at(-1));
    }
  });

  test("is of the meter, the plan and the type, and a pattern's only of calls to what it matches", () => {
    expect(found([priceOf({ meter: "requests" })])).toBeUndefined();
    expect(found([priceOf({ plan: "iron" })])).toBeUndefined();
    expect(found([priceOf({ accountType: "reading" })])).toBeUndefined();
    expect(found([priceOf({ resource: "model.embed" })])).toBeUndefined();
    expect(found([priceOf({ resource: "**" })], 0, { resource: "" })).toBeUndefined();
  });

  test("changes when a later one begins, and says until when it stands", () => {
    const [first, second] = [priceOf({}), priceOf({ effectiveAtMs: 100 })];
    const at = (nowMs: number) => priceInForce([first, second], use, nowMs, matches);
    expect(at(0)).toEqual({ price: first, untilMs: 100 });
    expect(at(99)).toEqual({ price: first, untilMs: 100 });
    expect(at(100)).toEqual({ price: second, untilMs: Number.POSITIVE_INFINITY });
    expect(at(-1)).toEqual({ price: undefined, untilMs: 0 });
  });

  test("of two that begin at once is the one set later", () => {
    const [first, second] = [priceOf({}), priceOf({})];
    expect(found([second, first])).toBe(second);
  });

  const patterns = ["", "**", "*", "a", "b", "a.**", "a.*", "*.b", "*.*", "a.b", "*.b.**", "a.b.**"];
  const terms = fc.record({
    resource: fc.constantFrom(...patterns),
    plan: fc.constantFrom("", "gold", "iron"),
    accountType: fc.constantFrom("", "trading"),
    effectiveAtMs: fc.nat({ max: 3 }),
  });

  test("does not hang on the order that prices are in, and stands until it says", () => {
    const shuffled = fc
      .array(terms, { maxLength: 12 })
      .map((rows) => rows.map((row) => priceOf(row)))
      .chain((rows) => fc.tuple(fc.constant(rows), fc.shuffledSubarray(rows, { minLength: rows.length })));
    const calls = fc.record({
      resource: fc.constantFrom("", "a", "b", "a.b", "a.b.c"),
      atMs: fc.nat({ max: 4 }),
    });
    fc.assert(
      fc.property(shuffled, calls, ([rows, others], { resource, atMs }) => {
        const inForce = priceInForce(rows, { ...use, resource }, atMs, matches);
        expect(priceInForce(others, { ...use, resource }, atMs, matches)).toEqual(inForce);
        for (let ms = atMs; ms < Math.min(inForce.untilMs, 5); ms++) {
          expect(found(rows, ms, { resource })).toBe(inForce.price);
        }
      }),
    );
  });

  test("compares any three prices as an order", () => {
    const three = fc.tuple(terms, terms, terms).map((rows) => rows.map((row) => priceOf(row)));
    fc.assert(
      fc.property(three, ([a, b, c]) => {
        expect(Math.sign(compare(a!, b!))).toBe(-Math.sign(compare(b!, a!)) + 0);
        if (compare(a!, b!) >= 0 && compare(b!, c!) >= 0) expect(compare(a!, c!)).toBeGreaterThanOrEqual(0);
      }),
    );
  });
});

describe("a cost", () => {
  const price = fc.record({
    micros: fc.maxSafeNat(),
    perUnits: fc.oneof(
      fc.constant(1),
      fc.integer({ min: 1, max: 2_000_000 }),
      fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    ),
  });
  const units = fc.oneof(fc.nat({ max: 1000 }), fc.nat({ max: 2 ** 31 }), fc.maxSafeNat());

  test("of $0.15 for a million tokens is exact over single tokens", () => {
    const cents15 = { micros: 150_000, perUnits: 1_000_000 };
    let [sum, carryParts] = [0, 0];
    for (let i = 0; i < 1_000_000; i++) {
      const cost = costOf(1, cents15, carryParts);
      sum += cost.micros;
      carryParts = cost.carryParts;
    }
    expect({ sum, carryParts }).toEqual({ sum: 150_000, carryParts: 0 });
  });

  test("with its carry is units times the price, to the part", () => {
    fc.assert(
      fc.property(price, units, fc.maxSafeNat(), (of, count, seed) => {
        const carry = seed % of.perUnits;
        const cost = costOf(count, of, carry);
        const exact = BigInt(count) * BigInt(of.micros) + BigInt(carry);
        expect(BigInt(cost.carryParts)).toBe(exact % BigInt(of.perUnits));
        const whole = exact / BigInt(of.perUnits);
        const most = BigInt(Number.MAX_SAFE_INTEGER);
        expect(BigInt(cost.micros)).toBe(whole < most ? whole : most);
      }),
    );
  });

  test("of many uses adds up to that of their sum", () => {
    const uses = fc.array(fc.nat({ max: 1_000_000 }), { maxLength: 50 });
    const small = fc.record({ micros: fc.nat({ max: 1e9 }), perUnits: fc.integer({ min: 1, max: 1e9 }) });
    fc.assert(
      fc.property(uses, small, (counts, of) => {
        let [sum, carryParts] = [0, 0];
        for (const count of counts) {
          const cost = costOf(count, of, carryParts);
          sum += cost.micros;
          carryParts = cost.carryParts;
        }
        const total = counts.reduce((all, count) => all + count, 0);
        expect({ micros: sum, carryParts }).toEqual(costOf(total, of));
      }),
    );
  });

  test("refuses what is no unit", () => {
    for (const bad of [-1, 0.5, Number.NaN, 2 ** 53]) {
      expect(() => costOf(bad, { micros: 1, perUnits: 1 })).toThrow(RangeError);
    }
  });
});
