import fc from "fast-check";
import { expect, test } from "vitest";
import { PartCarries } from "./part-carries.ts";
import { priceOf } from "./pricing.fixture.ts";

const price = priceOf({ micros: 150_000, perUnits: 1_000_000 });

test("many small uses cost what they cost together, whatever fails or is begun again, and runs at once", async () => {
  const use = fc.record({
    units: fc.integer({ min: 1, max: 20 }),
    payer: fc.constantFrom("acc_1", "acc_2"),
    runs: fc.integer({ min: 1, max: 3 }),
    fails: fc.boolean(),
    waits: fc.nat({ max: 5 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(use, { maxLength: 30 }), async (uses) => {
      const carries = new PartCarries();
      const done = { acc_1: { units: 0, micros: 0 }, acc_2: { units: 0, micros: 0 } };
      const run = ({ units, payer, runs, fails, waits }: (typeof uses)[number]) =>
        carries.during(async (begin) => {
          let micros = 0;
          for (let i = 0; i < runs; i++) {
            const reckoning = begin();
            micros = reckoning.costOf(payer, price, units) + reckoning.costOf(payer, price, units);
            for (let turn = 0; turn < waits; turn++) await undefined;
          }
          if (fails) throw new Error("rolled back");
          done[payer as "acc_1"].units += 2 * units;
          done[payer as "acc_1"].micros += micros;
        });
      await Promise.allSettled(uses.map(run));
      for (const payer of ["acc_1", "acc_2"] as const) {
        const last = await carries.during(async (begin) => begin().costOf(payer, price, 100));
        const exact = ((done[payer].units + 100) * 150_000) / 1_000_000;
        expect(done[payer].micros + last).toBeLessThanOrEqual(exact);
        expect(done[payer].micros + last).toBeGreaterThan(exact - 1);
      }
    }),
  );
});

test("what hundreds of reports at once put back of the largest price can still be counted, and not of a larger one", async () => {
  const after = async (perUnits: number) => {
    const carries = new PartCarries();
    // An odd price: all but nothing of a micro is left of each.
    const price = priceOf({ micros: perUnits - 1, perUnits });
    const cost = () => carries.during(async (begin) => begin().costOf("a", price, 1));
    expect(await Promise.all(Array.from({ length: 500 }, cost))).toEqual(Array(500).fill(0));
    return cost();
  };
  expect(await after(10 ** 12)).toBe(500);
  await expect(after(2 ** 52)).rejects.toThrow(RangeError);
});

test("what is beyond its capacity is forgotten, the oldest first", async () => {
  const carries = new PartCarries(2);
  const cost = (payer: string) => carries.during(async (begin) => begin().costOf(payer, price, 5));
  for (const payer of ["a", "b", "c"]) expect(await cost(payer)).toBe(0);
  expect([await cost("a"), await cost("c")]).toEqual([0, 1]);
});
