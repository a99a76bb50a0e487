import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { leaseLife } from "./lease-life.ts";
import { leaseSize, lowWater } from "./lease-size.ts";
import * as rate from "./rate.ts";

const LIFE = { leastMs: 2000, mostMs: 10_000 };

describe("the life of a lease", () => {
  const buckets = fc.record({
    available: fc.integer({ min: -100, max: 1000 }),
    burst: fc.nat(1000),
    others: fc.nat(20),
    leastMs: fc.nat(5000),
    mostMs: fc.integer({ min: 5000, max: 60_000 }),
  });

  test("is whole milliseconds between the least and the most", () => {
    fc.assert(
      fc.property(buckets, (bucket) => {
        const lifeMs = leaseLife({ ...bucket, available: Math.min(bucket.available, bucket.burst) });
        expect(Number.isSafeInteger(lifeMs)).toBe(true);
        expect(lifeMs).toBeGreaterThanOrEqual(bucket.leastMs);
        expect(lifeMs).toBeLessThanOrEqual(bucket.mostMs);
      }),
    );
  });

  test("is never longer in an emptier bucket, or with more who hold units of it", () => {
    fc.assert(
      fc.property(buckets, fc.nat(1000), fc.nat(20), (bucket, less, more) => {
        const { available, others } = bucket;
        const tighter = { ...bucket, available: available - less, others: others + more };
        expect(leaseLife(tighter)).toBeLessThanOrEqual(leaseLife(bucket));
      }),
    );
  });

  test("is the least in a bucket that is half empty, and the most in one that is full and nobody else's", () => {
    const lifeOf = (available: number, others: number) =>
      leaseLife({ available, burst: 100, others, ...LIFE });
    expect([-5, 0, 50].map((available) => lifeOf(available, 0))).toEqual([2000, 2000, 2000]);
    expect([75, 100].map((available) => lifeOf(available, 0))).toEqual([6000, 10_000]);
    expect([1, 3].map((others) => lifeOf(100, others))).toEqual([6000, 4000]);
    expect(leaseLife({ available: 0, burst: 0, others: 0, ...LIFE })).toBe(2000);
  });

  test("is not computed of what is no number of units", () => {
    expect(() => leaseLife({ available: 1, burst: 1.5, others: 0, ...LIFE })).toThrow(RangeError);
    expect(() => leaseLife({ available: 1, burst: 1, others: 0, leastMs: 2, mostMs: 1 })).toThrow(RangeError);
  });
});

const TICK_MS = 50;
const GRACE_MS = 1000;

interface Held {
  readonly holder: number;
  readonly lifeMs: number;
  readonly grantedAtMs: number;
  readonly units: number;
  left: number;
  unreported: rate.Spend[];
}

/**
 * Holders that keep to the rules: ahead at low water and at two thirds of a life, telling at a quarter of it and with
 * every ask, closing at the end; one that lacks units calls the others' back. Each calls once a tick and may vanish.
 */
class Simulation {
  readonly spec: rate.RateSpec;
  readonly spends: rate.Spend[] = [];
  readonly #life: typeof leaseLife;
  #leases: Held[] = [];
  #state: rate.RateState;
  #nowMs = 0;
  readonly vanished = new Set<number>();
  refused = 0;
  renewals = 0;

  constructor(spec: rate.RateSpec, life: typeof leaseLife = leaseLife) {
    this.spec = spec;
    this.#life = life;
    this.#state = rate.open(spec, 0);
  }

  run(forMs: number, call: (nowMs: number) => readonly { holder: number; units: number }[]): void {
    for (const untilMs = this.#nowMs + forMs; this.#nowMs < untilMs; this.#nowMs += TICK_MS) {
      this.#state = rate.refill(this.#state, this.spec, this.#nowMs);
      this.#sweep();
      for (const { holder, units } of call(this.#nowMs))
        if (!this.vanished.has(holder)) this.#call(holder, units);
    }
  }

  unitsOf(holder: number): number {
    return this.#leases.reduce((sum, lease) => sum + (lease.holder === holder ? lease.left : 0), 0);
  }

  #call(holder: number, units: number): void {
    if (this.unitsOf(holder) < units) this.#ask(holder, units);
    if (this.unitsOf(holder) < units) {
      for (const lease of this.#leases)
        if (lease.holder !== holder && !this.vanished.has(lease.holder)) this.#close(lease);
      this.#ask(holder, units);
    }
    if (this.unitsOf(holder) < units) {
      this.refused++;
      return;
    }
    let rest = units;
    for (const lease of this.#leases) {
      if (lease.holder !== holder) continue;
      const piece = Math.min(rest, lease.left);
      if (piece === 0) continue;
      lease.left -= piece;
      rest -= piece;
      lease.unreported.push({ units: piece, spentAtMs: this.#nowMs });
    }
    this.spends.push({ units, spentAtMs: this.#nowMs });
    const newest = this.#leases.findLast((lease) => lease.holder === holder)!;
    const isOld = this.#nowMs >= newest.grantedAtMs + (newest.lifeMs * 2) / 3;
    if (isOld || this.unitsOf(holder) <= lowWater(newest.units)) this.#ask(holder, 0);
  }

  #ask(holder: number, need: number): void {
    for (const lease of this.#leases) if (lease.holder === holder) this.#tell(lease, 0);
    const others = new Set(this.#leases.filter((l) => l.holder !== holder && l.left > 0).map((l) => l.holder))
      .size;
    const lacking = Math.max(0, need - this.unitsOf(holder));
    const units = leaseSize({
      available: this.#state.available,
      need: lacking,
      want: Math.max(20, lacking),
      holders: others + 1,
    });
    if (units === 0) return;
    this.renewals++;
    this.#state = rate.take(this.#state, units);
    const { available } = this.#state;
    const lifeMs = this.#life({ available, burst: this.spec.burst, others, ...LIFE });
    this.#leases.push({ holder, lifeMs, grantedAtMs: this.#nowMs, units, left: units, unreported: [] });
  }

  #sweep(): void {
    for (const lease of this.#leases) {
      const endsAtMs = lease.grantedAtMs + lease.lifeMs;
      if (this.vanished.has(lease.holder)) {
        if (this.#nowMs < endsAtMs + GRACE_MS) continue;
        lease.unreported.push({ units: lease.left, spentAtMs: endsAtMs });
        lease.left = 0;
        this.#close(lease);
      } else if (this.#nowMs >= endsAtMs) this.#close(lease);
      else if (this.#nowMs - (lease.unreported[0]?.spentAtMs ?? this.#nowMs) >= lease.lifeMs / 4)
        this.#tell(lease, 0);
    }
  }

  #close(lease: Held): void {
    this.#tell(lease, lease.left);
    lease.left = 0;
    this.#leases = this.#leases.filter((other) => other !== lease);
  }

  #tell(lease: Held, returned: number): void {
    this.#state = rate.settle(this.#state, this.spec, { spent: lease.unreported, returned }, this.#nowMs);
    lease.unreported = [];
  }
}

const specs = fc.record({
  units: fc.integer({ min: 1, max: 100 }),
  intervalMs: fc.constantFrom(500, 1000, 10_000),
  burst: fc.integer({ min: 1, max: 500 }),
});

function total(spends: readonly rate.Spend[]): number {
  return spends.reduce((sum, { units }) => sum + units, 0);
}

describe("however long leases live", () => {
  test("no interval admits more than burst and rate allow, whoever vanishes", () => {
    const calls = fc.array(fc.record({ holder: fc.nat(2), units: fc.integer({ min: 1, max: 20 }) }), {
      maxLength: 3,
    });
    fc.assert(
      fc.property(
        specs,
        fc.array(calls, { minLength: 50, maxLength: 300 }),
        fc.nat(10_000),
        (spec, ticks, goneAtMs) => {
          const simulation = new Simulation(spec);
          simulation.run(ticks.length * TICK_MS, (nowMs) => {
            if (nowMs >= goneAtMs) simulation.vanished.add(2);
            return ticks[nowMs / TICK_MS]!;
          });
          for (const [i, from] of simulation.spends.entries()) {
            let units = 0;
            for (const to of simulation.spends.slice(i)) {
              units += to.units;
              const refilled = (spec.units * (to.spentAtMs - from.spentAtMs)) / spec.intervalMs;
              expect(units).toBeLessThanOrEqual(spec.burst + refilled + 1e-9);
            }
          }
        },
      ),
    );
  });

  test("a steady caller within the rate is never refused, and asks a third as often as with short lives", () => {
    const spec = { units: 1000, intervalMs: 10_000, burst: 1000 };
    const runOf = (life?: typeof leaseLife) => {
      const simulation = new Simulation(spec, life);
      simulation.run(60_000, (nowMs) => (nowMs % 1000 === 0 ? [{ holder: 0, units: 1 }] : []));
      return simulation;
    };
    const long = runOf();
    expect(long.refused).toBe(0);
    expect(long.renewals).toBeLessThanOrEqual(runOf(({ leastMs }) => leastMs).renewals / 3);
  });

  /** What a bucket without leases admits of one unit after another, asked as often as the simulation is. */
  function mostOf(spec: rate.RateSpec, forMs: number): number {
    let state = rate.open(spec, 0);
    let most = 0;
    for (let nowMs = 0; nowMs < forMs; nowMs += TICK_MS) {
      const { available } = rate.refill(state, spec, nowMs);
      state = rate.charge(state, spec, { units: available, spentAtMs: nowMs }, nowMs);
      most += available;
    }
    return most;
  }

  test("who asks for more than the rate gets 99 % of it, alone or as one of two", () => {
    fc.assert(
      fc.property(specs, fc.integer({ min: 1, max: 2 }), (spec, holders) => {
        const simulation = new Simulation(spec);
        const calls = 2 * holders * Math.ceil(1 + (spec.units * TICK_MS) / spec.intervalMs);
        simulation.run(60_000, () =>
          Array.from({ length: calls }, (_, i) => ({ holder: i % holders, units: 1 })),
        );
        const most = mostOf(spec, 60_000);
        expect(total(simulation.spends)).toBeGreaterThanOrEqual(0.99 * most - 1);
      }),
      { numRuns: 30 },
    );
  });

  test("who vanished with units keeps them from the others until their end, and nothing of the rate", () => {
    const spec = { units: 100, intervalMs: 1000, burst: 1000 };
    const simulation = new Simulation(spec);
    simulation.run(1000, (nowMs) => (nowMs === 0 ? [{ holder: 1, units: 1 }] : []));
    const kept = simulation.unitsOf(1);
    expect(kept).toBeGreaterThan(0);
    simulation.vanished.add(1);
    simulation.run(9000, () => Array.from({ length: 20 }, () => ({ holder: 0, units: 1 })));
    expect(total(simulation.spends)).toBeGreaterThanOrEqual(0.99 * (spec.burst + 9 * 100 - kept));
  });
});
