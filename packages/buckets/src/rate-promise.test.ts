/**
 * The promise of a rate bucket, against holders as they are: they lease, spend in memory, report late and out of
 * order, close early, or vanish.
 */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { leaseSize } from "./lease-size.ts";
import * as rate from "./rate.ts";

type Arithmetic = Pick<typeof rate, "refill" | "settle">;

interface Lease {
  /** Units metering has heard nothing of yet. */
  outstanding: number;
  /** Units the holder has in hand. */
  unspent: number;
  readonly deadlineMs: number;
  /** Spent but not reported. */
  unreported: rate.Spend[];
}

interface Report {
  readonly lease: Lease;
  readonly arrivesAtMs: number;
  readonly spent: rate.Spend[];
  readonly returned: number;
}

/** Forfeited this long after the deadline, so that most last reports are in; some are too late. */
const GRACE_MS = 100;

const specs = fc.record({
  units: fc.integer({ min: 1, max: 20 }),
  intervalMs: fc.integer({ min: 50, max: 1000 }),
  burst: fc.integer({ min: 1, max: 20 }),
});

const actions = fc.array(
  fc.record({
    gapMs: fc.oneof(fc.constant(0), fc.nat(20), fc.nat(400)),
    kind: fc.constantFrom("lease", "spend", "spend", "spend", "report", "close", "vanish"),
    units: fc.integer({ min: 1, max: 20 }),
    pick: fc.nat(),
    delayMs: fc.nat(300),
  }),
  { minLength: 20, maxLength: 120, size: "max" },
);

type Action = typeof actions extends fc.Arbitrary<(infer A)[]> ? A : never;

/** The spends as they truly happened, in order. */
function simulate(
  spec: rate.RateSpec,
  script: readonly Action[],
  { refill, settle }: Arithmetic,
): rate.Spend[] {
  const spends: rate.Spend[] = [];
  const leases = new Set<Lease>();
  let reports: Report[] = [];
  let state = rate.open(spec, 0);
  let nowMs = 0;

  function book(lease: Lease, spent: rate.Spend[], returned: number) {
    if (!leases.has(lease)) return;
    state = settle(refill(state, spec, nowMs), spec, { spent, returned }, nowMs);
    lease.outstanding -= spent.reduce((sum, { units }) => sum + units, 0) + returned;
  }

  function arrive() {
    for (const { lease, spent, returned } of reports.filter((report) => report.arrivesAtMs <= nowMs)) {
      book(lease, spent, returned);
    }
    reports = reports.filter((report) => report.arrivesAtMs > nowMs);
    for (const lease of leases) {
      if (lease.deadlineMs + GRACE_MS > nowMs) continue;
      book(lease, [{ units: lease.outstanding, spentAtMs: lease.deadlineMs }], 0);
      leases.delete(lease);
    }
  }

  function act({ kind, units, pick, delayMs }: Action) {
    if (kind === "lease") {
      state = refill(state, spec, nowMs);
      const granted = Math.max(0, Math.min(units, state.available));
      state = rate.take(state, granted);
      leases.add({ outstanding: granted, unspent: granted, deadlineMs: nowMs + 4 * delayMs, unreported: [] });
      return;
    }
    const live = [...leases].filter((lease) => nowMs <= lease.deadlineMs);
    const lease = live[pick % live.length];
    if (lease === undefined) return;
    if (kind === "spend") {
      const spend = { units: Math.min(units, lease.unspent), spentAtMs: nowMs };
      lease.unspent -= spend.units;
      lease.unreported.push(spend);
      spends.push(spend);
    } else {
      const returned = kind === "close" ? lease.unspent : 0;
      if (kind !== "report") lease.unspent = 0;
      if (kind !== "vanish") {
        reports.push({ lease, arrivesAtMs: nowMs + delayMs, spent: lease.unreported, returned });
      }
      lease.unreported = [];
    }
  }

  for (const action of script) {
    nowMs += action.gapMs;
    arrive();
    act(action);
  }
  return spends.filter(({ units }) => units > 0);
}

/** By how much the worst interval [a, b] between two spends passes burst + rate × (b − a), in parts of a unit. */
function worstExcess(spec: rate.RateSpec, spends: readonly rate.Spend[]): number {
  let worst = 0;
  for (const [i, from] of spends.entries()) {
    let units = 0;
    for (const to of spends.slice(i)) {
      units += to.units;
      const refilled = spec.units * (to.spentAtMs - from.spentAtMs);
      worst = Math.max(worst, (units - spec.burst) * spec.intervalMs - refilled);
    }
  }
  return worst;
}

describe("every interval admits at most burst + rate × its length", () => {
  test("whatever the holders do", () => {
    fc.assert(
      fc.property(specs, actions, (spec, script) => {
        expect(worstExcess(spec, simulate(spec, script, rate))).toBe(0);
      }),
      { numRuns: 2000 },
    );
  });

  /** Whether the same simulation catches an arithmetic without the mechanism; by a fixed seed, so never by luck. */
  function caught(arithmetic: Arithmetic): boolean {
    const runs = fc.sample(fc.tuple(specs, actions), { seed: 1, numRuns: 500 });
    return runs.some(([spec, script]) => worstExcess(spec, simulate(spec, script, arithmetic)) > 0);
  }

  test("but not if leased units are left out of the cap on refill", () => {
    const capOnAvailable: Arithmetic = {
      ...rate,
      refill: (state, spec, nowMs) => ({
        ...rate.refill({ ...state, leased: 0 }, spec, nowMs),
        leased: state.leased,
      }),
    };
    expect(caught(capOnAvailable)).toBe(true);
  });

  test("but not if a report is given refill for its age whether the bucket was full or not", () => {
    const creditByAge: Arithmetic = {
      ...rate,
      settle: (state, spec, what, nowMs) => {
        const always = nowMs > 0 ? [{ fromMs: 0, toMs: nowMs, usedParts: 0 }] : [];
        return rate.settle({ ...state, idle: always }, spec, what, nowMs);
      },
    };
    expect(caught(creditByAge)).toBe(true);
  });
});

describe("a lone holder that reports promptly loses nothing", () => {
  const ONE_PER_SECOND: rate.RateSpec = { units: 1, intervalMs: 1000, burst: 1 };

  /** The times of 50 spends, each as soon as the bucket allows, reported after up to 400 ms. */
  function spendTimes(delaysMs: readonly number[], reportedAge: (delayMs: number) => number): number[] {
    let state = rate.open(ONE_PER_SECOND, 0);
    let nowMs = 0;
    return delaysMs.map((delayMs) => {
      nowMs += rate.retryAfterMs(state, ONE_PER_SECOND, 1, nowMs);
      state = rate.take(rate.refill(state, ONE_PER_SECOND, nowMs), 1);
      const spentAtMs = nowMs;
      nowMs += delayMs;
      const spent = [{ units: 1, spentAtMs: nowMs - reportedAge(delayMs) }];
      state = rate.settle(state, ONE_PER_SECOND, { spent, returned: 0 }, nowMs);
      return spentAtMs;
    });
  }

  const delays = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 50, maxLength: 50 });

  test("at 1 per second it spends every second", () => {
    fc.assert(
      fc.property(delays, (delaysMs) => {
        expect(spendTimes(delaysMs, (delayMs) => delayMs)).toEqual(delaysMs.map((_, i) => i * 1000));
      }),
    );
  });

  test("but not if its reports bear no age", () => {
    const times = spendTimes(Array(50).fill(400), () => 0);
    expect(times.at(-1)).toBe(49 * 1400);
  });

  test.each([
    { burst: 1000, reportEveryMs: 250 },
    { burst: 100, reportEveryMs: 500 },
    { burst: 20, reportEveryMs: 150 },
  ])(
    "at 1000 per 10 s, burst $burst, reporting every $reportEveryMs ms, it gets 99 %",
    ({ burst, reportEveryMs }) => {
      const spec = { units: 1000, intervalMs: 10_000, burst };
      const lastMs = 60_000;
      let state = rate.open(spec, 0);
      let unreported: rate.Spend[] = [];
      let total = 0;
      for (let nowMs = 0; nowMs <= lastMs; nowMs += 10) {
        if (nowMs % reportEveryMs === 0) {
          state = rate.settle(state, spec, { spent: unreported, returned: 0 }, nowMs);
          unreported = [];
        }
        state = rate.refill(state, spec, nowMs);
        const units = leaseSize({ available: state.available, need: 1, want: 50, holders: 1 });
        state = rate.take(state, units);
        if (units > 0) unreported.push({ units, spentAtMs: nowMs });
        total += units;
      }
      const most = burst + lastMs / 10;
      expect(total).toBeLessThanOrEqual(most);
      expect(total).toBeGreaterThanOrEqual(0.99 * most);
    },
  );
});
