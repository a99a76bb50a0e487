import fc from "fast-check";
import { expect, test } from "vitest";
import { adjustmentsOf, type GivenStatement, type Period, type UsageLine } from "./statement.ts";

const line = (accountId: string, units: bigint, cost = units * 2n): UsageLine => ({
  accountId,
  meter: "tokens",
  currency: "USD",
  units,
  cost,
});

const periodOf = (n: number): Period => ({ timeZone: "UTC", startMs: n, endMs: n + 1 });

test("what came late is stated once, by the next statement, and what was taken back too", () => {
  const [january, february] = [periodOf(1), periodOf(2)];
  const given: GivenStatement[] = [
    { period: january, body: { balances: [], usage: [line("a", 5n)], adjustments: [] } },
  ];
  const late = new Map([[january, [line("a", 7n), line("b", 1n)]]]);
  const first = adjustmentsOf(given, late);
  expect(first).toEqual([
    { ...line("a", 2n), startMs: 1, endMs: 2 },
    { ...line("b", 1n), startMs: 1, endMs: 2 },
  ]);
  given.push({ period: february, body: { balances: [], usage: [], adjustments: first } });
  expect(adjustmentsOf(given, new Map([...late, [february, []]]))).toEqual([]);
  const back = new Map([[january, [line("a", 7n)]]]);
  expect(adjustmentsOf(given, back)).toEqual([{ ...line("b", -1n), startMs: 1, endMs: 2 }]);
});

test("statements of a series add up to all usage, whenever it comes", () => {
  const arrival = fc.record({
    period: fc.nat({ max: 4 }),
    account: fc.constantFrom("a", "b"),
    units: fc.bigInt({ min: -3n, max: 5n }),
    /** The statement of this period, and those before, have been given by then. */
    after: fc.nat({ max: 5 }),
  });
  fc.assert(
    fc.property(fc.array(arrival, { maxLength: 30 }), (arrivals) => {
      const given: GivenStatement[] = [];
      const came = (period: number, given: number) =>
        ["a", "b"].map((account) =>
          line(
            account,
            arrivals
              .filter((each) => each.period === period && each.account === account && each.after <= given)
              .reduce((sum, { units }) => sum + units, 0n),
          ),
        );
      for (let n = 0; n <= 5; n++) {
        const now = new Map(given.map(({ period }) => [period, came(period.startMs, n)]));
        const adjustments = adjustmentsOf(given, now);
        given.push({ period: periodOf(n), body: { balances: [], usage: came(n, n), adjustments } });
      }
      const stated = given.flatMap(({ body }) => [...body.usage, ...body.adjustments]);
      const total = stated.reduce((sum, { units }) => sum + units, 0n);
      expect(total).toBe(arrivals.reduce((sum, { units }) => sum + units, 0n));
    }),
  );
});
