import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Limit } from "./limit.ts";
import { isToTell, LocalBucket, type LocalLease, type Spend } from "./local-bucket.ts";

const quota: Limit = {
  id: "lim_1",
  nodeId: "key_1",
  meter: "requests",
  pattern: "",
  kind: "quota",
  enforcement: "ENFORCE",
};
const moment = (ms: number, wallMs = ms) => ({ monotonicMs: ms, wallMs });
const start = moment(0);

function leaseOf(units: number, lease: Partial<LocalLease> = {}): LocalLease {
  const fresh = { ref: {}, deadline: moment(1000), lifeMs: 2000, left: units, spends: [], reported: 0 };
  return { id: "lease", units, ...fresh, ...lease };
}

const rateLease = (units: number, lease: Partial<LocalLease> = {}) =>
  leaseOf(units, { ref: undefined, spends: [], ...lease });

function bucketWith(...leases: LocalLease[]): LocalBucket {
  const bucket = new LocalBucket(quota);
  for (const lease of leases) bucket.grant(lease, start);
  return bucket;
}

/** Spends, and answers from which leases. */
function spend(bucket: LocalBucket, units: number, now = start): [LocalLease, number][] {
  const spends: Spend[] = [];
  bucket.spend(units, now, spends);
  return spends.map(({ lease, units }) => [lease, units]);
}

describe("a bucket of leases", () => {
  it("spends the oldest lease first, and across leases", () => {
    const [first, second] = [leaseOf(3), leaseOf(5)];
    const bucket = bucketWith(first, second);
    expect(bucket.left(start)).toBe(8);
    expect(spend(bucket, 4)).toEqual([
      [first, 3],
      [second, 1],
    ]);
    expect(bucket.left(start)).toBe(4);
  });

  it("does not spend what is not there", () => {
    expect(() => spend(bucketWith(leaseOf(3)), 4)).toThrow("1 of 4 units were not there");
  });

  it("spends no lease that is over, on whichever clock", () => {
    const late = leaseOf(5, { deadline: moment(5000) });
    for (const now of [moment(1000, 0), moment(0, 1000)]) {
      const bucket = bucketWith(leaseOf(3), late);
      expect(bucket.left(now)).toBe(5);
      expect(spend(bucket, 1, now)).toEqual([[late, 1]]);
      expect(() => spend(bucket, 5, now)).toThrow("not there");
      late.left = 5;
    }
    expect(bucketWith(leaseOf(3)).left(moment(999, -50_000))).toBe(3);
  });

  it("spends no lease that was closed", () => {
    const [first, second] = [leaseOf(3), leaseOf(5)];
    const bucket = bucketWith(first, second);
    bucket.close(first, start);
    expect([bucket.left(start), bucket.leases]).toEqual([5, [second]]);
    expect(spend(bucket, 1)).toEqual([[second, 1]]);
  });

  it("forgets a refusal when units are granted", () => {
    const bucket = bucketWith();
    bucket.refusal = { units: 1, held: 0, untilMs: 1000, remaining: 0, retryAtMs: undefined };
    bucket.grant(leaseOf(1), start);
    expect(bucket.refusal).toBeUndefined();
  });

  it("counts the calls that its pattern holds, and without one all", () => {
    const bucket = new LocalBucket({ ...quota, pattern: "orders.**" });
    expect(["orders.cancel", "weather.read", ""].map((resource) => bucket.counts(resource))).toEqual([
      true,
      false,
      false,
    ]);
    expect(new LocalBucket(quota).counts("")).toBe(true);
  });
});

describe("an undone spend", () => {
  it("is there to be spent again", () => {
    const bucket = bucketWith(leaseOf(3), leaseOf(5));
    for (const [lease, units] of spend(bucket, 4)) bucket.unspend(lease, units);
    expect(bucket.left(start)).toBe(8);
  });

  it("does not come back into the bucket from a lease that was closed", () => {
    const lease = leaseOf(3);
    const bucket = bucketWith(lease, leaseOf(5));
    spend(bucket, 2);
    bucket.close(lease, start);
    bucket.unspend(lease, 2);
    expect([bucket.left(start), lease.left]).toEqual([5, 3]);
  });

  it("is not reported, even if it was several spends at several times", () => {
    const lease = rateLease(10);
    const bucket = bucketWith(lease);
    const turn = [1, 2, 3].flatMap((ms) => spend(bucket, 2, moment(ms)));
    for (const [from, units] of turn) bucket.unspend(from, units);
    expect([lease.spends, lease.reported, bucket.left(start)]).toEqual([[], 0, 10]);
  });

  it("is taken back from what was reported, if it was by then", () => {
    const lease = rateLease(10);
    const bucket = bucketWith(lease);
    const turn = spend(bucket, 4);
    lease.spends.length = 0;
    lease.reported = 4;
    for (const [from, units] of turn) bucket.unspend(from, units);
    expect([lease.reported, lease.left]).toEqual([0, 10]);
  });
});

describe("the spends of a rate lease", () => {
  it("are bounded in number, and the newest is never dated too early", () => {
    const lease = rateLease(1000);
    const bucket = bucketWith(lease);
    for (let ms = 50; ms < 1000; ms += 50) spend(bucket, 1, moment(ms));
    expect(lease.spends).toHaveLength(16);
    expect(lease.spends.at(-1)).toEqual({ units: 4, sinceMs: 800, atMs: 950 });
    expect(lease.spends.reduce((sum, { units }) => sum + units, 0)).toBe(19);
  });

  it("are one within 50 ms, of the latest moment, and are not drawn out by those that follow", () => {
    const lease = rateLease(1000);
    const bucket = bucketWith(lease);
    for (let ms = 1; ms <= 100; ms++) spend(bucket, 1, moment(ms));
    expect(lease.spends).toEqual([
      { units: 50, sinceMs: 1, atMs: 50 },
      { units: 50, sinceMs: 51, atMs: 100 },
    ]);
  });
});

describe("the spends of a rate lease that lives long", () => {
  it("are fewer, of longer stretches", () => {
    const lease = rateLease(1000, { lifeMs: 10_000, deadline: moment(10_000) });
    const bucket = bucketWith(lease);
    for (let ms = 0; ms < 1000; ms += 50) spend(bucket, 1, moment(ms));
    expect(lease.spends).toEqual([0, 250, 500, 750].map((ms) => ({ units: 5, sinceMs: ms, atMs: ms + 200 })));
  });

  it("are to be told when the first is a quarter of its life old", () => {
    for (const [lifeMs, atMs] of [
      [2000, 600],
      [10_000, 2600],
    ] as const) {
      const lease = rateLease(1000, { lifeMs, deadline: moment(lifeMs) });
      const bucket = bucketWith(lease);
      expect(isToTell(lease, moment(atMs))).toBe(false);
      spend(bucket, 1, moment(100));
      spend(bucket, 1, moment(500));
      expect([isToTell(lease, moment(atMs - 1)), isToTell(lease, moment(atMs))]).toEqual([false, true]);
    }
  });
});

describe("a bucket, whatever is done to it", () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant("grant" as const), n: fc.integer({ min: 1, max: 9 }) }),
    fc.record({ do: fc.constantFrom("spend" as const, "unspend" as const), n: fc.nat({ max: 9 }) }),
    fc.record({
      do: fc.constant("close" as const),
      n: fc.nat({ max: 3 }),
    }),
    fc.record({ do: fc.constant("pass" as const), n: fc.nat({ max: 400 }) }),
  );

  it("has left what its living leases have left, and loses no unit", () => {
    fc.assert(
      fc.property(fc.boolean(), fc.array(step, { maxLength: 60 }), (isRate, steps) => {
        const bucket = new LocalBucket(quota);
        const made: LocalLease[] = [];
        const spent: [LocalLease, number][] = [];
        let now = start;
        for (const { do: what, n } of steps) {
          const lease = bucket.leases[n % Math.max(bucket.leases.length, 1)];
          if (what === "pass") now = moment(now.monotonicMs + n);
          else if (what === "grant") {
            const granted = (isRate ? rateLease : leaseOf)(n, { deadline: moment(now.monotonicMs + 1000) });
            made.push(granted);
            bucket.grant(granted, now);
          } else if (what === "spend") spent.push(...spend(bucket, Math.min(n, bucket.left(now)), now));
          else if (what === "unspend") {
            const last = spent.pop();
            if (last !== undefined) bucket.unspend(...last);
          } else if (lease !== undefined) bucket.close(lease, now);
          const living = bucket.leases.filter(({ deadline }) => now.monotonicMs < deadline.monotonicMs);
          expect(bucket.left(now)).toBe(living.reduce((sum, { left }) => sum + left, 0));
          for (const { units, left, spends, reported, ref } of made) {
            expect(left).toBeGreaterThanOrEqual(0);
            if (ref === undefined) {
              expect(spends.reduce((sum, spend) => sum + spend.units, reported)).toBe(units - left);
            }
          }
        }
      }),
    );
  });
});
