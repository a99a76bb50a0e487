import fc from "fast-check";
import { expect, test } from "vitest";
import { leaseSize, lowWater, wantFor } from "./lease-size.ts";

const units = fc.integer({ min: 0, max: 1000 });
const asks = fc.record({
  available: fc.integer({ min: -100, max: 1000 }),
  need: units,
  want: units,
  holders: fc.integer({ min: 1, max: 20 }),
});

test("a lease is nothing, or covers the need within what is wanted and available", () => {
  fc.assert(
    fc.property(asks, (ask) => {
      const size = leaseSize(ask);
      if (ask.available < ask.need) expect(size).toBe(0);
      else expect(size).toBeGreaterThanOrEqual(ask.need);
      expect(size).toBeLessThanOrEqual(Math.max(0, ask.available));
      expect(size).toBeLessThanOrEqual(Math.max(ask.need, ask.want));
    }),
  );
});

test("an emptier bucket never grants more, and a near-empty one just the need", () => {
  fc.assert(
    fc.property(asks, fc.nat(1000), (ask, less) => {
      const emptier = { ...ask, available: ask.available - less };
      expect(leaseSize(emptier)).toBeLessThanOrEqual(leaseSize(ask));
    }),
  );
  expect(leaseSize({ available: 7, need: 1, want: 100, holders: 4 })).toBe(1);
  expect(leaseSize({ available: 800, need: 1, want: 100, holders: 4 })).toBe(100);
  expect(leaseSize({ available: 400, need: 1, want: 100, holders: 4 })).toBe(50);
});

test("holders that all ask for much leave half of the bucket", () => {
  fc.assert(
    fc.property(fc.nat(10_000), fc.integer({ min: 1, max: 20 }), (available, holders) => {
      let left = available;
      for (let i = 0; i < holders; i += 1)
        left -= leaseSize({ available: left, need: 0, want: 1e6, holders });
      expect(left).toBeGreaterThanOrEqual(available / 2);
    }),
  );
});

test("what is wanted follows demand between floor and cap", () => {
  expect(wantFor(0, 2, 1, 100)).toBe(1);
  expect(wantFor(12.3, 2, 1, 100)).toBe(25);
  expect(wantFor(1e6, 2, 1, 100)).toBe(100);
  expect(() => wantFor(Number.NaN, 2, 1, 100)).toThrow(RangeError);
});

test("low water is a quarter", () => {
  expect([0, 1, 3, 4, 100].map(lowWater)).toEqual([0, 0, 0, 1, 25]);
});
