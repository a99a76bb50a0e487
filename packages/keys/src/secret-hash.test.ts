import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hashesEqual, hashSecret, isHash } from "./secret-hash.ts";

describe("hashes", () => {
  test("are SHA-256 in base64url", () => {
    expect(hashSecret("abc")).toBe(Buffer.from(ABC_SHA256, "hex").toString("base64url"));
  });

  test("are equal when every character is", () => {
    const hash = hashSecret("a");
    expect(hashesEqual(hash, hashSecret("a"))).toBe(true);
    fc.assert(
      fc.property(
        fc.nat({ max: 42 }),
        fc.string({ unit: "binary", minLength: 1, maxLength: 1 }),
        (at, other) => {
          const changed = hash.slice(0, at) + other + hash.slice(at + 1);
          expect(hashesEqual(hash, changed)).toBe(hash === changed);
          expect(hashesEqual(changed, hash)).toBe(hash === changed);
        },
      ),
    );
  });

  test("are recognized, and nothing else is", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(isHash(hashSecret(text))).toBe(true);
      }),
    );
    const hash = hashSecret("abc");
    for (const text of [
      "",
      ABC_SHA256,
      `${hash}\n`,
      `${hash.slice(0, -1)}1`,
      `${hash.slice(0, -1)}é`,
      `${hash}A`,
    ]) {
      expect(isHash(text)).toBe(false);
    }
  });

  test("of the wrong length or alphabet equal nothing", () => {
    const hash = hashSecret("a");
    const wide = `\u0141${hash.slice(1)}`;
    const odd: [string, string][] = [
      ["", ""],
      [hash.slice(1), hash.slice(1)],
      ["A".repeat(43), "\u0141".repeat(43)],
      [`${wide.slice(0, 42)}é`, `${wide.slice(0, 42)}ü`],
      [hash, hash.repeat(10_000)],
    ];
    for (const [left, right] of odd) expect(hashesEqual(left, right)).toBe(false);
  });
});

/** FIPS 180-2, appendix B.1. */
const ABC_SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
