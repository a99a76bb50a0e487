import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Cached, S3Fifo } from "./s3-fifo.ts";

class Item extends Cached {
  readonly name: string;
  readonly weight: number;

  constructor(name: string, weight = 0) {
    super();
    this.name = name;
    this.weight = weight;
  }
}

const keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
const key = fc.constantFrom(...keys);
const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant("set" as const), key }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("get" as const), key }) },
  fc.record({ do: fc.constant("delete" as const), key }),
  fc.record({ do: fc.constantFrom("clear" as const), key }),
);

describe("S3-FIFO", () => {
  it("is bounded, answers what was set last, and tells of every value that leaves, once", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 6 }), fc.array(step, { maxLength: 200 }), (capacity, steps) => {
        const dropped = new Map<object, number>();
        const cache = new S3Fifo<Item>(capacity, (value) =>
          dropped.set(value, (dropped.get(value) ?? 0) + 1),
        );
        const latest = new Map<string, Item>();
        const made: Item[] = [];
        for (const next of steps) {
          if (next.do === "set") {
            const value = new Item(next.key);
            made.push(value);
            latest.set(next.key, value);
            cache.set(value);
            expect(cache.peek(next.key)).toBe(value);
          } else if (next.do === "delete") {
            cache.delete(next.key);
            expect(cache.peek(next.key)).toBeUndefined();
          } else if (next.do === "clear") {
            cache.clear();
            expect(cache.size).toBe(0);
          } else {
            cache.get(next.key);
          }
          const held = keys.flatMap((name) => cache.peek(name) ?? []);
          expect(cache.size).toBeLessThanOrEqual(capacity);
          expect(held).toHaveLength(cache.size);
          for (const name of keys) {
            const value = cache.peek(name);
            if (value !== undefined) expect(value).toBe(latest.get(name));
          }
          for (const value of made) expect(dropped.get(value) ?? 0).toBe(held.includes(value) ? 0 : 1);
        }
      }),
    );
  });

  it("knows what it weighs, whatever came and went, and lets go of all of it by weight", () => {
    const sized = fc.record({ key, weight: fc.integer({ min: 1, max: 100 }), evicts: fc.boolean() });
    fc.assert(
      fc.property(fc.array(sized, { maxLength: 200 }), (steps) => {
        const cache = new S3Fifo<Item>(6, undefined, ({ weight }) => weight);
        for (const { key, weight, evicts } of steps) {
          cache.set(new Item(key, weight));
          cache.get(key);
          if (evicts) cache.evict();
          const held = keys.flatMap((name) => cache.peek(name) ?? []);
          expect(cache.weight).toBe(held.reduce((sum, value) => sum + value.weight, 0));
        }
        while (cache.size > 0) cache.evict();
        expect(cache.weight).toBe(0);
        cache.evict();
      }),
    );
  });

  it("keeps what is used again through a scan of heavy ones, held to a weight", () => {
    const cache = new S3Fifo<Item>(1000, undefined, ({ weight }) => weight);
    const hot = Array.from({ length: 50 }, (_, i) => `hot ${i}`);
    const use = (name: string, weight: number) => {
      if (cache.get(name) !== undefined) return true;
      cache.set(new Item(name, weight));
      while (cache.weight > 1000) cache.evict();
      cache.get(name); // whoever fills an entry reads it
      return false;
    };
    for (let round = 0; round < 3; round++) for (const name of hot) use(name, 10);
    let misses = 0;
    for (let i = 0; i < 5000; i++) {
      use(`once ${i}`, 40);
      if (i % 10 === 0) for (const name of hot) if (!use(name, 10)) misses++;
    }
    expect([misses, cache.weight > 900]).toEqual([0, true]);
  });

  it("keeps what is used again through a scan of very many that are used once", () => {
    const cache = new S3Fifo<Item>(100);
    const hot = Array.from({ length: 50 }, (_, i) => `hot ${i}`);
    const use = (name: string) => {
      if (cache.get(name) !== undefined) return true;
      cache.set(new Item(name));
      cache.get(name); // whoever fills an entry reads it
      return false;
    };
    for (let round = 0; round < 3; round++) for (const name of hot) use(name);
    let misses = 0;
    for (let i = 0; i < 20_000; i++) {
      use(`once ${i}`);
      if (i % 10 === 0) for (const name of hot) if (!use(name)) misses++;
    }
    expect(misses).toBe(0);
  });

  it("takes back at once into the main queue what it has just dropped", () => {
    const cache = new S3Fifo<Item>(10);
    const scan = (from: number) => {
      for (let i = from; i < from + 10; i++) cache.set(new Item(`once ${i}`));
    };
    cache.set(new Item("returning"));
    scan(0);
    expect(cache.peek("returning")).toBeUndefined();
    cache.set(new Item("returning"));
    scan(10); // would push it out of the small queue again
    expect(cache.peek("returning")).toBeDefined();
  });

  it("keeps what is read, not what is peeked at", () => {
    const cache = new S3Fifo<Item>(2);
    cache.set(new Item("read"));
    for (let i = 0; i < 3; i++) cache.get("read");
    cache.set(new Item("peeked"));
    for (let i = 0; i < 3; i++) cache.peek("peeked");
    cache.set(new Item("new"));
    expect([cache.peek("read") !== undefined, cache.peek("peeked")]).toEqual([true, undefined]);
  });
});
