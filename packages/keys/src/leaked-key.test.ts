import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { KeyFormat } from "./key-format.ts";
import type { KeyKind } from "./key-text.ts";
import { leakPattern, maskKey, redact } from "./leaked-key.ts";
import { newPepper, parsePepper } from "./pepper.ts";

const format = new KeyFormat({ peppers: [parsePepper(newPepper("1"))] });
const mint = (kind: KeyKind = "ACCOUNT") => format.mint(kind).presented;
const arbitraryKey = fc.constantFrom<KeyKind>("MASTER", "ACCOUNT", "SUB").map(mint);
const arbitraryText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 30 }),
  fc.constantFrom("gth_", "_acc_", "authorization: Bearer ", "https://x.test/?key=", '"', "A", ""),
);

describe("the leak pattern", () => {
  test("is the documented one", () => {
    expect(leakPattern("gth").source).toBe("gth_(mst|acc|sub)_[0-9A-Za-z]{72}");
    expect(() => leakPattern(".*")).toThrow("prefix");
  });

  test("finds every key in any text, glued together too", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(arbitraryText, arbitraryKey), { maxLength: 4 }), (parts) => {
        const found = parts.flat().join("").match(leakPattern("gth")) ?? [];
        expect([...found]).toEqual(parts.map(([, key]) => key));
      }),
    );
  });
});

describe("a mask", () => {
  test("shows a key up to its id", () => {
    const key = mint("MASTER");
    expect(maskKey(key)).toBe(`${key.slice(0, 28)}…`);
    expect(
      maskKey(new KeyFormat({ prefix: "ab", peppers: [parsePepper(newPepper("1"))] }).mint("SUB").presented),
    ).toMatch(/^ab_sub_[0-9A-Za-z]{20}…$/);
  });

  test("shows nothing of what is no key", () => {
    for (const text of ["", "hunter2", mint().slice(1, -1), `${mint()}x`, mint().repeat(10_000)]) {
      expect(maskKey(text)).toBe("…");
    }
  });
});

describe("redaction", () => {
  test("leaves no secret character of whole, cut-off or overlong keys", () => {
    const arbitraryLeak = fc.tuple(
      arbitraryKey,
      fc.integer({ min: 29, max: 80 }),
      fc.constantFrom("", "A", "zz9"),
    );
    fc.assert(
      fc.property(
        fc.array(fc.tuple(arbitraryText, arbitraryLeak), { minLength: 1, maxLength: 4 }),
        (parts) => {
          const text = parts
            .map(([before, [key, length, after]]) => before + key.slice(0, length) + after)
            .join("");
          const redacted = redact(text, "gth");
          for (const [, [key]] of parts) {
            expect(redacted).toContain(`${key.slice(0, 28)}…`);
            expect(redacted).not.toContain(key.slice(0, 29));
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  test("leaves no secret character of an invitation's token", () => {
    const id = `gth_inv_${"0".repeat(20)}`;
    expect(redact(`token=${id}${"0123456789abcdef".repeat(4)}&x=1`, "gth")).toBe(`token=${id}…&x=1`);
    expect(redact(id, "gth")).toBe(id);
  });

  test("leaves other text, masks and key ids alone", () => {
    const { keyId, presented } = format.mint("SUB");
    for (const text of ["", "gth_", `revoked ${keyId}`, maskKey(presented), "gth_xyz_", "\0é"]) {
      expect(redact(text, "gth")).toBe(text);
    }
    const once = redact(`key=${presented}&x=1`, "gth");
    expect(once).toBe(`key=${maskKey(presented)}&x=1`);
    expect(redact(once, "gth")).toBe(once);
  });

  test("takes megabytes of near misses in its stride", () => {
    const nearMisses = [`gth_acc_${"a".repeat(19)}_`, "gth_acc_", "gth"].map((text) =>
      text.repeat(1 + 2e6 / text.length),
    );
    for (const text of nearMisses) expect(redact(text, "gth")).toBe(text);
    expect(redact(`gth_acc_${"a".repeat(2_000_000)}`, "gth")).toBe(`gth_acc_${"a".repeat(20)}…`);
  });
});
