import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type AllocatableBucket, allocate, type BucketPool } from "./allocate.ts";
import { Pool } from "./pool.ts";

const CAPACITY = 40;
const parts = fc
  .tuple(fc.nat(20), fc.nat(20))
  .map(([a, b]) => new Map(Object.entries({ a, b })) as ReadonlyMap<string, number>);
const buckets = fc.constantFrom("a", "b", "others");
const draws = fc.array(fc.record({ bucket: buckets, units: fc.integer({ min: 1, max: 12 }) }), {
  maxLength: 40,
});

/** What each bucket has, in the words of the promise, with nothing kept up to date: all is added up anew. */
class Naive {
  readonly kept: ReadonlyMap<string, number>;
  readonly drawn = new Map<string, number>();

  constructor(kept: ReadonlyMap<string, number>) {
    this.kept = kept;
  }

  availableTo(bucket: string): number {
    let available = CAPACITY;
    for (const each of ["a", "b", "others"]) {
      const drawn = this.drawn.get(each) ?? 0;
      available -= each === bucket ? drawn : Math.max(drawn, this.kept.get(each) ?? 0);
    }
    return available;
  }
}

describe("a pool", () => {
  test("lets each bucket have what the others have left it", () => {
    fc.assert(
      fc.property(parts, draws, (kept, asked) => {
        const pool = new Pool(CAPACITY, kept);
        const naive = new Naive(kept);
        for (const { bucket, units } of asked) {
          expect(pool.availableTo(bucket)).toBe(naive.availableTo(bucket));
          if (units > pool.availableTo(bucket)) continue;
          pool.take(bucket, units);
          naive.drawn.set(bucket, (naive.drawn.get(bucket) ?? 0) + units);
        }
      }),
    );
  });

  test("has what it keeps for a bucket until that has it, whatever others take", () => {
    fc.assert(
      fc.property(parts, draws, (kept, asked) => {
        const pool = new Pool(CAPACITY, kept);
        for (const { bucket, units } of asked) {
          if (bucket !== "a" && units <= pool.availableTo(bucket)) pool.take(bucket, units);
        }
        expect(pool.availableTo("a")).toBeGreaterThanOrEqual(kept.get("a")!);
      }),
    );
  });

  test("that keeps nothing for it has nothing left for it when others took all", () => {
    const pool = new Pool(CAPACITY);
    pool.take("others", pool.availableTo("others"));
    expect(pool.availableTo("a")).toBe(0);
  });

  test("of which less is left than is kept gives it to who has a part, and to nobody else", () => {
    fc.assert(
      fc.property(parts, fc.integer({ min: -5, max: 30 }), (kept, left) => {
        const pool = new Pool(left, kept);
        fc.pre(left < kept.get("a")! + kept.get("b")!);
        expect(pool.availableTo("others")).toBeLessThanOrEqual(Math.min(0, left));
        for (const bucket of ["a", "b"]) {
          expect(pool.availableTo(bucket)).toBeGreaterThanOrEqual(Math.min(kept.get(bucket)!, left));
          expect(pool.availableTo(bucket)).toBeLessThanOrEqual(left);
        }
      }),
    );
  });

  test("says what it keeps from a bucket", () => {
    const pool = new Pool(10, new Map([["a", 4]]));
    expect([pool.keptFromOthers("others"), pool.keptFromOthers("a")]).toEqual([4, 0]);
    pool.take("a", 3);
    expect(pool.keptFromOthers("others")).toBe(1);
  });
});

describe("asks of one pool", () => {
  const asks = fc.array(
    fc.record({
      holder: fc.constantFrom("p", "q"),
      bucket: buckets,
      need: fc.nat(12),
      want: fc.nat(30),
    }),
    { maxLength: 20 },
  );

  function bucketsOf(pool: BucketPool, available: number): Map<string, AllocatableBucket> {
    const bucket = { available, leased: new Map(), holders: 2, pool };
    return new Map(["a", "b", "others"].map((id) => [id, bucket]));
  }

  test("are granted as one bucket's, and never what is kept for another", () => {
    fc.assert(
      fc.property(parts, asks, (kept, asked) => {
        const pool = { kept, leasedOfKept: new Map(), leasedBesides: 0 };
        const naive = new Naive(kept);
        const allocations = allocate(
          asked.map(({ holder, ...need }) => ({ holder, needs: [need] })),
          bucketsOf(pool, CAPACITY),
        );
        for (const [i, allocation] of allocations.entries()) {
          const { bucket } = asked[i]!;
          if (allocation.kind !== "granted") {
            expect(asked[i]!.need).toBeGreaterThan(0);
            continue;
          }
          const { units } = allocation.grants[0]!;
          if (units > 0) expect(units).toBeLessThanOrEqual(naive.availableTo(bucket));
          naive.drawn.set(bucket, (naive.drawn.get(bucket) ?? 0) + units);
        }
      }),
    );
  });

  test("wait for what others hold, but not for what is kept for another and lent", () => {
    const buckets = (leasedOfKept: number) => {
      const pool = { kept: new Map(), leasedOfKept: new Map([["a", leasedOfKept]]), leasedBesides: 0 };
      const [a, others] = [new Map([["p", 5]]), new Map<string, number>()];
      return new Map<string, AllocatableBucket>([
        ["a", { available: 0, leased: a, holders: 1, pool }],
        ["others", { available: 0, leased: others, holders: 1, pool }],
      ]);
    };
    const ask = { holder: "p", needs: [{ bucket: "others", need: 3, want: 0 }] };
    expect(allocate([ask], buckets(0))[0]).toMatchObject({ kind: "wait", lacking: [{ elsewhere: 5 }] });
    expect(allocate([ask], buckets(2))[0]).toMatchObject({ kind: "wait", lacking: [{ elsewhere: 3 }] });
    expect(allocate([ask], buckets(3))[0]).toMatchObject({ kind: "exhausted", elsewhere: 2 });
  });
});
