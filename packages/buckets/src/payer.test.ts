import fc from "fast-check";
import { expect, test } from "vitest";
import { payerOf } from "./payer.ts";

const flags = fc.array(fc.boolean(), { maxLength: 12 });
const chainOf = (usesParent: readonly boolean[]) =>
  usesParent.map((usesParentBalance, i) => ({ id: `acc_${i}`, usesParentBalance }));

test("an account pays for itself, unless it uses its parent's balance", () => {
  expect(payerOf(chainOf([false, false, false]))?.id).toBe("acc_0");
  expect(payerOf(chainOf([true, false, false]))?.id).toBe("acc_1");
});

test("the root pays for nothing, nor does an account that comes down to it", () => {
  expect(payerOf(chainOf([false]))).toBeUndefined();
  expect(payerOf(chainOf([true, true, false]))).toBeUndefined();
});

test("whoever pays for an account that uses its parent's balance pays for the parent", () => {
  fc.assert(
    fc.property(flags, (usesParent) => {
      const parents = chainOf(usesParent);
      expect(payerOf([{ id: "acc_child", usesParentBalance: true }, ...parents])).toEqual(payerOf(parents));
    }),
  );
});
