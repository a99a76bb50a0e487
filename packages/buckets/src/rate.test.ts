import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MAX_IDLE_SPANS } from "./idle.ts";
import * as rate from "./rate.ts";

/** The second half are limits whose parts pass 2^53. */
const specs = fc
  .oneof(
    fc.record({ units: fc.integer({ min: 1, max: 50 }), intervalMs: fc.integer({ min: 1, max: 1000 }) }),
    fc.record({ units: fc.integer({ min: 1, max: 1e9 }), intervalMs: fc.constant(86_400_000) }),
  )
  .chain(({ units, intervalMs }) =>
    fc.record({
      units: fc.constant(units),
      intervalMs: fc.constant(intervalMs),
      burst: fc.constantFrom(1_000, 1e12),
    }),
  );

const reportsUpTo = (maxLength: number) =>
  fc.array(
    fc.record({ units: fc.integer({ min: 1, max: 100 }), spentAtMs: fc.nat(2000), lateMs: fc.nat(1000) }),
    { minLength: 1, maxLength },
  );

/** The reference: the level in parts at `atMs` of a bucket full at 0 that sees each spend when it happens. */
function idealLevel(spec: rate.RateSpec, spends: readonly rate.Spend[], atMs: number): bigint {
  let used = 0n;
  let lastMs = 0;
  const drain = (toMs: number) => {
    used -= BigInt(spec.units) * BigInt(toMs - lastMs);
    if (used < 0n) used = 0n;
    lastMs = toMs;
  };
  for (const { units, spentAtMs } of spends.toSorted((a, b) => a.spentAtMs - b.spentAtMs)) {
    drain(spentAtMs);
    used += BigInt(units) * BigInt(spec.intervalMs);
  }
  drain(atMs);
  return BigInt(spec.burst) * BigInt(spec.intervalMs) - used;
}

function level(spec: rate.RateSpec, state: rate.RateState): bigint {
  return BigInt(state.available + state.leased) * BigInt(spec.intervalMs) + BigInt(state.carryParts);
}

/** Books each report when it arrives and shows the state, the time and the spends known by then. */
function replay(
  spec: rate.RateSpec,
  reports: readonly (rate.Spend & { lateMs: number })[],
  see: (state: rate.RateState, nowMs: number, known: readonly rate.Spend[]) => void,
) {
  let state = rate.open(spec, 0);
  const known: rate.Spend[] = [];
  const arrival = (report: (typeof reports)[number]) => report.spentAtMs + report.lateMs;
  for (const report of reports.toSorted((a, b) => arrival(a) - arrival(b))) {
    known.push(report);
    state = rate.charge(state, spec, report, arrival(report));
    see(state, arrival(report), known);
  }
}

describe("a rate bucket", () => {
  test("told late and out of order is exactly as full as if told at once", () => {
    fc.assert(
      fc.property(specs, reportsUpTo(MAX_IDLE_SPANS - 2), (spec, reports) => {
        replay(spec, reports, (state, nowMs, known) => {
          expect(level(spec, state)).toBe(idealLevel(spec, known, nowMs));
        });
      }),
      { numRuns: 1000 },
    );
  });

  test("that had to forget is never fuller than that", () => {
    fc.assert(
      fc.property(specs, reportsUpTo(60), (spec, reports) => {
        replay(spec, reports, (state, nowMs, known) => {
          expect(level(spec, state)).toBeLessThanOrEqual(idealLevel(spec, known, nowMs));
          expect(state.idle.length).toBeLessThanOrEqual(MAX_IDLE_SPANS);
          expect(state.carryParts).toBeLessThan(spec.intervalMs);
        });
      }),
    );
  });

  test("given a spend back is never fuller than if it had not been spent", () => {
    fc.assert(
      fc.property(specs, reportsUpTo(6), fc.nat(5), fc.nat(2000), (spec, reports, index, afterMs) => {
        const back = reports[index % reports.length]!;
        const kept = reports.filter((report) => report !== back);
        let final = rate.open(spec, 0);
        replay(spec, reports, (state) => {
          final = state;
        });
        const nowMs = final.accountedAtMs + afterMs;
        const refilled = rate.refill(final, spec, nowMs);
        const given = rate.giveBack(final, spec, back, nowMs);
        expect(level(spec, given)).toBeLessThanOrEqual(idealLevel(spec, kept, nowMs));
        expect(level(spec, given)).toBeGreaterThanOrEqual(level(spec, refilled));
      }),
    );
  });

  test("has what was needed after the time it said to retry after, and not a millisecond before", () => {
    fc.assert(
      fc.property(
        specs,
        fc.nat(1000),
        fc.integer({ min: 1, max: 1000 }),
        fc.nat(3),
        (spec, spent, need, waitedMs) => {
          const state = rate.charge(rate.open(spec, 0), spec, { units: spent, spentAtMs: 0 }, 0);
          const afterMs = rate.retryAfterMs(state, spec, need, waitedMs);
          const availableAt = (atMs: number) => rate.refill(state, spec, atMs).available;
          expect(availableAt(waitedMs + afterMs)).toBeGreaterThanOrEqual(need);
          if (afterMs > 0) expect(availableAt(waitedMs + afterMs - 1)).toBeLessThan(need);
        },
      ),
    );
  });

  test("refills in one step as in many", () => {
    fc.assert(
      fc.property(specs, fc.array(fc.nat(500), { minLength: 1 }), (spec, steps) => {
        const empty = rate.openEmpty(spec, 0);
        let nowMs = 0;
        let state = empty;
        for (const step of steps) {
          nowMs += step;
          state = rate.refill(state, spec, nowMs);
        }
        expect(state).toEqual(rate.refill(empty, spec, nowMs));
      }),
    );
  });
});

const TEN_PER_SECOND: rate.RateSpec = { units: 10, intervalMs: 1000, burst: 20 };

describe("a rate bucket of 10 per second, burst 20,", () => {
  const full = rate.open(TEN_PER_SECOND, 0);

  test("does not refill while what is missing is leased", () => {
    const leased = rate.refill(rate.take(full, 15), TEN_PER_SECOND, 60_000);
    expect(leased.available).toBe(5);
    const back = rate.settle(leased, TEN_PER_SECOND, { spent: [], returned: 15 }, 60_000);
    expect(back).toMatchObject({ available: 20, leased: 0 });
  });

  test("refills from when units were spent, not from when that was reported", () => {
    const spent = [{ units: 15, spentAtMs: 59_500 }];
    const state = rate.settle(rate.take(full, 15), TEN_PER_SECOND, { spent, returned: 0 }, 60_000);
    expect(state).toMatchObject({ available: 10, leased: 0 });
  });

  test("counts a forfeited lease as spent at its deadline", () => {
    const state = rate.take(full, 20);
    const forfeited = rate.forfeit(state, TEN_PER_SECOND, { units: 20, deadlineMs: 3000 }, 3500);
    expect(forfeited).toMatchObject({ available: 5, leased: 0 });
    expect(() => rate.forfeit(state, TEN_PER_SECOND, { units: 20, deadlineMs: 3000 }, 2999)).toThrow(
      RangeError,
    );
  });

  test("admits nothing below zero until it has refilled", () => {
    const state = rate.charge(full, TEN_PER_SECOND, { units: 25, spentAtMs: 0 }, 0);
    expect(state.available).toBe(-5);
    expect(() => rate.take(state, 1)).toThrow(RangeError);
    expect(rate.retryAfterMs(state, TEN_PER_SECOND, 1, 0)).toBe(600);
    expect(rate.retryAfterMs(state, TEN_PER_SECOND, 21, 0)).toBe(Infinity);
  });

  test("keeps what is used when the limit is lowered and raised", () => {
    const used = rate.take(rate.charge(full, TEN_PER_SECOND, { units: 8, spentAtMs: 0 }, 0), 4);
    const lower = { units: 5, intervalMs: 1000, burst: 10 };
    const lowered = rate.resize(used, TEN_PER_SECOND, lower, 0);
    expect(lowered).toMatchObject({ available: -2, leased: 4 });
    expect(rate.resize(lowered, lower, TEN_PER_SECOND, 0)).toEqual({ ...used, idle: [] });
    expect(rate.refill(lowered, lower, 1000).available).toBe(3);
    expect(() => rate.resize(used, TEN_PER_SECOND, { ...lower, intervalMs: 1 }, 0)).toThrow(RangeError);
  });

  test("whose state was lost starts empty when the leases forgotten with it have ended", () => {
    const lost = rate.openEmpty(TEN_PER_SECOND, 5000);
    expect(rate.refill(lost, TEN_PER_SECOND, 4000).available).toBe(0);
    expect(rate.retryAfterMs(lost, TEN_PER_SECOND, 1, 4000)).toBe(1100);
    expect(rate.refill(lost, TEN_PER_SECOND, 6000).available).toBe(10);
  });

  test("refills nothing when the clock goes backwards", () => {
    const spent = rate.charge(full, TEN_PER_SECOND, { units: 20, spentAtMs: 0 }, 10_000);
    expect(rate.refill(rate.refill(spent, TEN_PER_SECOND, 9000), TEN_PER_SECOND, 10_000)).toEqual(spent);
  });

  test("refuses to settle more than is leased", () => {
    const state = rate.take(full, 3);
    const spent = [{ units: 2, spentAtMs: 0 }];
    expect(() => rate.settle(state, TEN_PER_SECOND, { spent, returned: 2 }, 0)).toThrow(RangeError);
  });
});

test.each([
  { units: 0, intervalMs: 1000, burst: 1 },
  { units: 1, intervalMs: 0, burst: 1 },
  { units: 1, intervalMs: 1000, burst: -1 },
  { units: 1.5, intervalMs: 1000, burst: 1 },
])("%o is no rate", (spec) => {
  expect(() => rate.open(spec, 0)).toThrow(RangeError);
});
