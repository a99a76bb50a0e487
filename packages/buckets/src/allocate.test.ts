import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type AllocatableBucket, type Ask, allocate } from "./allocate.ts";

const HOLDERS = ["p", "q", "r"];
const BUCKETS = ["a", "b", "c"];
const few = fc.integer({ min: 0, max: 4 });

const bucket = fc
  .record({ available: fc.integer({ min: -2, max: 8 }), leases: fc.tuple(few, few, few) })
  .map(({ available, leases }) =>
    bucketOf(available, Object.fromEntries(HOLDERS.map((id, i) => [id, leases[i]!]))),
  );

const bucketMaps = fc
  .tuple(bucket, bucket, bucket)
  .map((all) => new Map(all.map((each, i) => [BUCKETS[i]!, each] as const)));

const asksOf = fc.array(
  fc.record({
    holder: fc.constantFrom(...HOLDERS),
    needs: fc.uniqueArray(fc.record({ bucket: fc.constantFrom(...BUCKETS), need: few, want: fc.nat(8) }), {
      selector: (need) => need.bucket,
      minLength: 1,
    }),
  }),
  { maxLength: 8 },
);

function bucketOf(available: number, leased: Record<string, number> = {}): AllocatableBucket {
  return { available, leased: new Map(Object.entries(leased)), holders: HOLDERS.length };
}

function ask(holder: string, needs: Record<string, number>): Ask {
  return { holder, needs: Object.entries(needs).map(([bucket, need]) => ({ bucket, need, want: need })) };
}

/** The buckets as they are once the grants among the first `count` asks are booked. */
function booked(asks: readonly Ask[], buckets: ReadonlyMap<string, AllocatableBucket>, count: number) {
  const after = new Map(buckets);
  for (const [i, result] of allocate(asks, buckets).slice(0, count).entries()) {
    if (result.kind !== "granted") continue;
    const { holder } = asks[i]!;
    for (const { bucket, units } of result.grants) {
      const { available, leased, holders } = after.get(bucket)!;
      const mine = (leased.get(holder) ?? 0) + units;
      after.set(bucket, { available: available - units, leased: new Map(leased).set(holder, mine), holders });
    }
  }
  return after;
}

describe("allocate", () => {
  test("grants whole sets, never more than is available, and changes nothing it was given", () => {
    fc.assert(
      fc.property(asksOf, bucketMaps, (asks, buckets) => {
        const before = structuredClone(buckets);
        const results = allocate(asks, buckets);
        expect(results).toEqual(allocate(asks, buckets));
        expect(buckets).toEqual(before);
        for (const [i, result] of results.entries()) {
          if (result.kind !== "granted") continue;
          expect(result.grants.map(({ bucket }) => bucket)).toEqual(
            asks[i]!.needs.map(({ bucket }) => bucket),
          );
          for (const [j, { units }] of result.grants.entries()) {
            expect(units).toBeGreaterThanOrEqual(asks[i]!.needs[j]!.need);
          }
        }
        for (const [id, { available }] of booked(asks, buckets, asks.length)) {
          expect(available).toBeGreaterThanOrEqual(Math.min(0, buckets.get(id)!.available));
        }
      }),
    );
  });

  test("says exhausted exactly when what is left of a bucket, others' leases included, cannot cover the need", () => {
    fc.assert(
      fc.property(asksOf, bucketMaps, (asks, buckets) => {
        for (const [i, result] of allocate(asks, buckets).entries()) {
          const { holder, needs } = asks[i]!;
          const left = booked(asks, buckets, i);
          const first = needs.find(({ bucket, need }) => {
            const { available, leased } = left.get(bucket)!;
            const elsewhere = HOLDERS.filter((id) => id !== holder).reduce(
              (sum, id) => sum + leased.get(id)!,
              0,
            );
            return need > 0 && available + elsewhere < need;
          });
          expect(result.kind === "exhausted" ? result.bucket : undefined).toBe(first?.bucket);
        }
      }),
    );
  });

  test("lets nobody overtake: once the lacking units of the first waiter come, it has its whole set", () => {
    fc.assert(
      fc.property(asksOf, bucketMaps, (asks, buckets) => {
        const results = allocate(asks, buckets);
        const waiter = results.findIndex(({ kind }) => kind === "wait");
        const result = results[waiter];
        fc.pre(result?.kind === "wait");
        const after = booked(asks, buckets, asks.length);
        for (const { bucket, units, elsewhere } of result.lacking) {
          expect(units).toBeLessThanOrEqual(elsewhere);
          const shelf = after.get(bucket)!;
          after.set(bucket, { ...shelf, available: shelf.available + units });
        }
        expect(allocate([asks[waiter]!], after)[0]!.kind).toBe("granted");
      }),
    );
  });

  test("an exhausted ask changes nothing for the others", () => {
    fc.assert(
      fc.property(asksOf, bucketMaps, (asks, buckets) => {
        const results = allocate(asks, buckets);
        const kept = (_: unknown, i: number) => results[i]!.kind !== "exhausted";
        expect(allocate(asks.filter(kept), buckets)).toEqual(results.filter(kept));
      }),
    );
  });

  test("two holders that lack each other's last unit do not swap them: once recalled, the first gets both", () => {
    const held = new Map([
      ["a", bucketOf(0, { p: 1 })],
      ["b", bucketOf(0, { q: 1 })],
    ]);
    expect(allocate([ask("p", { b: 1 }), ask("q", { a: 1 })], held)).toEqual([
      { kind: "wait", lacking: [{ bucket: "b", units: 1, elsewhere: 1 }] },
      { kind: "wait", lacking: [{ bucket: "a", units: 1, elsewhere: 1 }] },
    ]);
    const returned = new Map([
      ["a", bucketOf(1)],
      ["b", bucketOf(1)],
    ]);
    const results = allocate([ask("p", { a: 1, b: 1 }), ask("q", { a: 1, b: 1 })], returned);
    expect(results.map(({ kind }) => kind)).toEqual(["granted", "wait"]);
  });

  test("a unit granted to one ask is elsewhere for the next, so it is told to wait", () => {
    const asks = [ask("p", { a: 1 }), ask("q", { a: 1 }), ask("p", { a: 1 })];
    expect(allocate(asks, new Map([["a", bucketOf(1)]]))).toEqual([
      { kind: "granted", grants: [{ bucket: "a", units: 1 }] },
      { kind: "wait", lacking: [{ bucket: "a", units: 1, elsewhere: 1 }] },
      { kind: "exhausted", bucket: "a", available: 0, elsewhere: 0 },
    ]);
  });

  test("a waiter keeps units it has no use for yet from those behind it", () => {
    const asks = [ask("p", { a: 1, b: 1 }), ask("r", { b: 1 })];
    const buckets = new Map([
      ["a", bucketOf(0, { q: 1 })],
      ["b", bucketOf(1)],
    ]);
    expect(allocate(asks, buckets)[1]).toEqual({
      kind: "wait",
      lacking: [{ bucket: "b", units: 1, elsewhere: 0 }],
    });
  });

  test("a filling up in the background is never refused, and takes nothing that a waiter needs", () => {
    const fill = { holder: "r", needs: [{ bucket: "a", need: 0, want: 100 }] };
    const buckets = new Map([["a", bucketOf(6, { q: 4 })]]);
    expect(allocate([fill], buckets)[0]).toEqual({ kind: "granted", grants: [{ bucket: "a", units: 1 }] });
    expect(allocate([ask("p", { a: 8 }), fill], buckets)[1]).toEqual({
      kind: "granted",
      grants: [{ bucket: "a", units: 0 }],
    });
  });

  test("a bucket that is unknown or named twice is the caller's bug", () => {
    expect(() => allocate([ask("p", { z: 1 })], new Map())).toThrow(RangeError);
    const twice = { holder: "p", needs: [...ask("p", { a: 1 }).needs, ...ask("p", { a: 1 }).needs] };
    expect(() => allocate([twice], new Map([["a", bucketOf(9)]]))).toThrow(RangeError);
  });
});
