import fc from "fast-check";
import { expect, test } from "vitest";
import * as quota from "./quota.ts";

const few = fc.integer({ min: 0, max: 20 });

const actions = fc.array(
  fc.record({
    kind: fc.constantFrom("take", "settle", "forfeit", "charge", "giveBack", "resize"),
    a: few,
    b: few,
  }),
  { maxLength: 60 },
);

test("every unit stays in one place, and nothing is leased that is not available", () => {
  fc.assert(
    fc.property(few, actions, (units, steps) => {
      let state = quota.open(units);
      // The model: one entry per unit in a place.
      const model = { capacity: units, spent: 0, leased: 0 };
      for (const { kind, a, b } of steps) {
        const free = model.capacity - model.spent - model.leased;
        if (kind === "take" && a > Math.max(0, free)) {
          expect(() => quota.take(state, a)).toThrow(RangeError);
        } else if (kind === "take") {
          state = quota.take(state, a);
          model.leased += a;
        } else if (kind === "settle") {
          const spent = Math.min(a, model.leased);
          const returned = Math.min(b, model.leased - spent);
          state = quota.settle(state, { spent, returned });
          model.leased -= spent + returned;
          model.spent += spent;
        } else if (kind === "forfeit") {
          const units = Math.min(a, model.leased);
          state = quota.forfeit(state, units);
          model.leased -= units;
          model.spent += units;
        } else if (kind === "charge") {
          state = quota.charge(state, a);
          model.spent += a;
        } else if (kind === "giveBack") {
          const units = Math.min(a, model.spent);
          state = quota.giveBack(state, units);
          model.spent -= units;
        } else {
          state = quota.resize(state, a);
          model.capacity = a;
        }
        expect(state).toEqual({ units: model.capacity, spent: model.spent, leased: model.leased });
        expect(quota.available(state)).toBe(model.capacity - model.spent - model.leased);
      }
    }),
  );
});

test("a lowered quota admits nothing until it is raised above what is used", () => {
  const used = quota.settle(quota.take(quota.open(10), 6), { spent: 6, returned: 0 });
  const lowered = quota.resize(used, 4);
  expect(quota.available(lowered)).toBe(-2);
  expect(() => quota.take(lowered, 1)).toThrow(RangeError);
  expect(quota.take(lowered, 0)).toEqual(lowered);
  expect(quota.available(quota.resize(lowered, 10))).toBe(4);
});

test("more than is leased cannot be settled, more than is spent not given back", () => {
  const state = quota.take(quota.open(10), 3);
  expect(() => quota.settle(state, { spent: 2, returned: 2 })).toThrow(RangeError);
  expect(() => quota.forfeit(state, 4)).toThrow(RangeError);
  expect(() => quota.giveBack(state, 1)).toThrow(RangeError);
});

test.each([-1, 0.5, Number.NaN, 2 ** 53])("%d is no number of units", (units) => {
  const state = quota.open(10);
  expect(() => quota.open(units)).toThrow(RangeError);
  expect(() => quota.take(state, units)).toThrow(RangeError);
  expect(() => quota.charge(state, units)).toThrow(RangeError);
  expect(() => quota.settle(state, { spent: units, returned: 0 })).toThrow(RangeError);
});
