import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BASE62_ALPHABET } from "./base62.ts";
import { type KeyId, mintId } from "./id.ts";
import { KeyFormat } from "./key-format.ts";
import { KeyFormatError } from "./key-format-error.ts";
import type { KeyKind } from "./key-text.ts";
import { newPepper, parsePepper } from "./pepper.ts";
import { hashSecret } from "./secret-hash.ts";

const old = parsePepper(newPepper("1"));
const current = parsePepper(newPepper("2"));
const format = new KeyFormat({ peppers: [current, old] });
const arbitraryKind = fc.constantFrom<KeyKind>("MASTER", "ACCOUNT", "SUB");
const arbitraryPrefix = fc.stringMatching(/^[a-z][a-z0-9]{1,11}$/);

describe("a minted key", () => {
  test("parses to what it was minted as, is authentic, and hashes to its hash", () => {
    fc.assert(
      fc.property(arbitraryKind, arbitraryPrefix, (kind, prefix) => {
        const own = new KeyFormat({ prefix, peppers: [current] });
        const { keyId, presented, hash } = own.mint(kind);
        expect(own.parse(presented)).toEqual({ keyId, kind, pepperVersion: "2" });
        expect(own.authentic(presented)).toBe(true);
        expect(hashSecret(presented)).toBe(hash);
      }),
    );
  });

  test("is written as documented", () => {
    const { keyId, presented } = format.mint("SUB");
    expect(presented).toMatch(/^gth_sub_[0-9A-Za-z]{72}$/);
    expect(presented.slice(8, 28)).toBe(keyId.slice(4));
  });

  test("keeps its id and changes its secret when minted again", () => {
    const first = format.mint("ACCOUNT");
    const second = format.mint("ACCOUNT", first.keyId);
    expect(second.keyId).toBe(first.keyId);
    expect(second.hash).not.toBe(first.hash);
    expect(() => format.mint("ACCOUNT", mintId("acc") as string as KeyId)).toThrow(KeyFormatError);
  });

  test("is not authentic, or no key, after any change of one character", () => {
    const { presented } = format.mint("ACCOUNT");
    const character = fc.oneof(
      fc.constantFrom(...BASE62_ALPHABET),
      fc.string({ unit: "binary", maxLength: 1 }),
    );
    for (let at = 0; at < presented.length; at++) {
      fc.assert(
        fc.property(character, (other) => {
          fc.pre(other !== presented[at]);
          expect(format.authentic(presented.slice(0, at) + other + presented.slice(at + 1))).toBe(false);
        }),
        { numRuns: 20 },
      );
    }
  });
});

describe("peppers", () => {
  test("rotated out still verify, unknown and re-used versions do not", () => {
    const before = new KeyFormat({ peppers: [old] }).mint("MASTER").presented;
    expect(format.authentic(before)).toBe(true);
    expect(new KeyFormat({ peppers: [current] }).authentic(before)).toBe(false);
    expect(new KeyFormat({ peppers: [parsePepper(newPepper("1"))] }).authentic(before)).toBe(false);
    expect(format.parse(before)?.pepperVersion).toBe("1");
  });

  test("are needed, and unique by version", () => {
    expect(() => new KeyFormat({ peppers: [] })).toThrow(KeyFormatError);
    expect(() => new KeyFormat({ peppers: [old, current, old] })).toThrow("same version");
  });
});

describe("a format", () => {
  test.each(["", "g", "Gth", "1th", "g_h", "gth\n", "a".repeat(13), "g.*"])(
    "refuses the prefix %j",
    (prefix) => {
      expect(() => new KeyFormat({ prefix, peppers: [old] })).toThrow(KeyFormatError);
    },
  );

  test("reads keys of its own prefix only", () => {
    const { presented } = new KeyFormat({ prefix: "xyz", peppers: [current] }).mint("MASTER");
    expect(format.parse(presented)).toBeUndefined();
    expect(format.authentic(presented)).toBe(false);
  });

  test("takes any text for what it is", () => {
    const { presented } = format.mint("MASTER");
    const hostile = [
      "",
      "gth_",
      `${presented}\n`,
      ` ${presented.slice(1)}`,
      presented.replace("mst", "key"),
      presented.replace("_mst_", "_mst-"),
      `${presented.slice(0, -1)}\0`,
      `${presented.slice(0, -1)}\u0141`,
      presented.repeat(100_000),
    ];
    for (const text of hostile) {
      expect(format.parse(text)).toBeUndefined();
      expect(format.authentic(text)).toBe(false);
    }
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => {
        expect(format.parse(text)).toBeUndefined();
        expect(format.authentic(text)).toBe(false);
      }),
    );
  });
});
