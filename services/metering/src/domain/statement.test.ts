import fc from "fast-check";
import { expect, test } from "vitest";
import { type AdjustmentLine, adjustmentsOf, type Period, type UsageLine } from "./statement.ts";

const line = (accountId: string, units: bigint, cost = units * 2n): UsageLine => ({
  accountId,
  meter: "tokens",
  currency: "USD",
  units,
  cost,
});

const periodOf = (n: number): Period => ({ timeZone: "UTC", startMs: n, endMs: n + 1 });

test("what came late is stated once, by the next statement, and what was taken back too", () => {
  const january = periodOf(1);
  const said = [line("a", 5n)];
  const late = new Map([[january, [line("a", 7n), line("b", 1n)]]]);
  const first = adjustmentsOf([{ period: january, said }], late);
  expect(first).toEqual([
    { ...line("a", 2n), startMs: 1, endMs: 2 },
    { ...line("b", 1n), startMs: 1, endMs: 2 },
  ]);
  const adjusted = [{ period: january, said: [...said, ...first] }];
  expect(adjustmentsOf(adjusted, late)).toEqual([]);
  const back = new Map([[january, [line("a", 7n)]]]);
  expect(adjustmentsOf(adjusted, back)).toEqual([{ ...line("b", -1n), startMs: 1, endMs: 2 }]);
});

test("statements of a series add up to all usage, whenever it comes and in whatever order they are given", () => {
  const arrival = fc.record({
    period: fc.nat({ max: 4 }),
    account: fc.constantFrom("a", "b"),
    units: fc.bigInt({ min: -3n, max: 5n }),
    /** So many statements have been given by then. */
    after: fc.nat({ max: 5 }),
  });
  const orders = fc.shuffledSubarray([0, 1, 2, 3, 4], { minLength: 5 });
  fc.assert(
    fc.property(fc.array(arrival, { maxLength: 30 }), orders, (arrivals, order) => {
      const given: { period: Period; usage: UsageLine[]; adjustments: AdjustmentLine[] }[] = [];
      const came = (period: number, given: number) =>
        ["a", "b"].map((account) =>
          line(
            account,
            arrivals
              .filter((each) => each.period === period && each.account === account && each.after <= given)
              .reduce((sum, { units }) => sum + units, 0n),
          ),
        );
      // The last one last: of what comes later than that nothing can be said.
      for (const [n, month] of [...order, 5].entries()) {
        const earlier = given.filter(({ period }) => period.startMs < month);
        const now = new Map(earlier.map(({ period }) => [period, came(period.startMs, n)]));
        const stated = earlier.map(({ period, usage }) => ({
          period,
          said: [
            ...usage,
            ...given.flatMap(({ adjustments }) =>
              adjustments.filter(({ startMs }) => startMs === period.startMs),
            ),
          ],
        }));
        given.push({
          period: periodOf(month),
          usage: came(month, n),
          adjustments: adjustmentsOf(stated, now),
        });
      }
      const total = given
        .flatMap(({ usage, adjustments }) => [...usage, ...adjustments])
        .reduce((sum, { units }) => sum + units, 0n);
      expect(total).toBe(arrivals.reduce((sum, { units }) => sum + units, 0n));
    }),
  );
});
