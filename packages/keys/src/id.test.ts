import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { base62, randomBase62 } from "./base62.ts";
import { derivedId, IdSource, isId, mintId } from "./id.ts";

const byCharacterCode = (left: string, right: string) => (left < right ? -1 : left > right ? 1 : 0);

describe("an id", () => {
  test("has its prefix and 20 base62 characters", () => {
    expect(mintId("acc")).toMatch(/^acc_[0-9A-Za-z]{20}$/);
    expect(isId("acc", mintId("acc"))).toBe(true);
    expect(isId("key", mintId("acc"))).toBe(false);
  });

  test.each(["", "acc_", "acc-01234567890123456789", "acc_0123456789012345678", "acc_0123456789012345678é"])(
    "is not %j",
    (text) => expect(isId("acc", text)).toBe(false),
  );

  test("of a text is the same each time, and of other texts another", () => {
    expect(derivedId("txn", "batch 1")).toBe(derivedId("txn", "batch 1"));
    expect(isId("txn", derivedId("txn", ""))).toBe(true);
    const ids = Array.from({ length: 5_000 }, (_, i) => derivedId("txn", `batch ${i}`));
    expect(new Set(ids).size).toBe(ids.length);
  });

  test("is not a megabyte, a NUL or a newline", () => {
    const id = mintId("acc");
    for (const text of [id.repeat(50_000), `${id}\n`, `${id.slice(0, -1)}\0`])
      expect(isId("acc", text)).toBe(false);
  });

  test("sorts after all minted before it in the process, within one millisecond too", () => {
    const ids = Array.from({ length: 5_000 }, () => mintId("dec"));
    expect(ids.toSorted(byCharacterCode)).toEqual(ids);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test("sorts by creation across processes, and within one through any clock", () => {
    const times = fc.array(fc.nat({ max: 5_000_000_000_000 }), { minLength: 2, maxLength: 50 });
    fc.assert(
      fc.property(times, (timesMs) => {
        const clock = timesMs.values();
        const one = new IdSource(() => clock.next().value ?? 0);
        const minted = timesMs.map(() => one.next());
        expect(minted.toSorted(byCharacterCode)).toEqual(minted);

        const elsewhere = timesMs.map((timeMs) => ({ timeMs, id: new IdSource(() => timeMs).next() }));
        const sorted = elsewhere.toSorted((a, b) => byCharacterCode(a.id, b.id)).map(({ timeMs }) => timeMs);
        expect(sorted).toEqual(timesMs.toSorted((a, b) => a - b));
      }),
    );
  });
});

describe("base62", () => {
  test("keeps the order of numbers at a fixed width", () => {
    expect(base62(0, 3)).toBe("000");
    expect(base62(62 ** 3 - 1, 3)).toBe("zzz");
    fc.assert(
      fc.property(fc.nat({ max: 62 ** 8 - 1 }), fc.nat({ max: 62 ** 8 - 1 }), (left, right) => {
        expect(byCharacterCode(base62(left, 8), base62(right, 8))).toBe(Math.sign(left - right));
      }),
    );
  });

  test("draws every character, and never the same text twice", () => {
    const texts = Array.from({ length: 200 }, () => randomBase62(43));
    expect(new Set(texts).size).toBe(200);
    expect(new Set(texts.join("")).size).toBe(62);
  });
});
