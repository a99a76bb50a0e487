import * as fc from "fast-check";
import { expect, it } from "vitest";
import { sharedList, sharedText } from "./shared.ts";

const anyList = fc.array(fc.string({ unit: fc.constantFrom("a", "b", ",", '"', "\0", "\\", "\ud800") }), {
  maxLength: 4,
});

it("lists are one exactly where they are equal", () => {
  fc.assert(
    fc.property(anyList, anyList, (left, right) => {
      const areEqual = left.length === right.length && left.every((item, i) => item === right[i]);
      expect(sharedList(left) === sharedList(right)).toBe(areEqual);
      expect([sharedList(left), sharedText(left.join())]).toEqual([left, left.join()]);
    }),
  );
});

it("what is shared is nobody's to change", () => {
  const mine = ["orders.read"];
  const shared = sharedList(mine);
  mine.push("**");
  expect(sharedList(["orders.read"])).toEqual(["orders.read"]);
  expect(() => (shared as string[]).push("**")).toThrow(TypeError);
});

it("forgets what is not used, and keeps what is", () => {
  const [used, unused] = [sharedList(["used"]), sharedList(["unused"])];
  for (let i = 0; i < 20_000; i++) {
    sharedList([`other ${i}`]);
    sharedList(["used"]);
  }
  expect(sharedList(["used"])).toBe(used);
  expect(sharedList(["unused"])).not.toBe(unused);
  expect(sharedList(["unused"])).toEqual(unused);
});

it("keeps no long lists", () => {
  const long = Array.from({ length: 100 }, (_, i) => `orders.number-${i}`);
  expect(sharedList(long)).not.toBe(sharedList(long));
  expect(sharedList(long)).toEqual(long);
});
