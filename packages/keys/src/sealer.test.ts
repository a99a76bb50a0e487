import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { KeyFormatError } from "./key-format-error.ts";
import { newEncryptionKey, parseEncryptionKey, SealError, Sealer } from "./sealer.ts";

const old = parseEncryptionKey(newEncryptionKey("1"));
const current = parseEncryptionKey(newEncryptionKey("2"));
const before = new Sealer([old]);
const rotating = new Sealer([current, old]);
const after = new Sealer([current]);

const arbitraryText = fc.string({ unit: "binary", maxLength: 200 });

describe("a sealed secret", () => {
  test("opens where it was put", () => {
    fc.assert(
      fc.property(arbitraryText, arbitraryText, (plain, context) => {
        expect(before.open(before.seal(plain, context), context)).toBe(plain.toWellFormed());
      }),
    );
  });

  test("is written as documented, anew each time", () => {
    const sealed = rotating.seal("hunter2", "key_1");
    expect(sealed).toMatch(/^s1\.2\.[0-9A-Za-z_-]{80}\.[0-9A-Za-z_-]{47}$/);
    expect(rotating.seal("hunter2", "key_1").slice(5)).not.toContain(sealed.slice(5, 30));
  });

  test("of another release opens", () => {
    const sealer = new Sealer([parseEncryptionKey(`1:${"00ff".repeat(16)}`)]);
    expect(sealer.open(VECTOR, "key_00000000000000000001")).toBe("hunter2 é");
  });

  test("opens nowhere else", () => {
    fc.assert(
      fc.property(arbitraryText, arbitraryText, (context, other) => {
        fc.pre(context.toWellFormed() !== other.toWellFormed());
        const sealed = before.seal("hunter2", context);
        expect(() => before.open(sealed, other)).toThrow(SealError);
        expect(() => rotating.reseal(sealed, other)).toThrow(SealError);
      }),
    );
  });

  test("does not open after any change of one character", () => {
    const sealed = rotating.seal("hunter2", "key_1");
    for (let at = 0; at < sealed.length; at++) {
      for (const other of ["A", "B", "_", "1", ".", "=", "é", ""]) {
        const changed = sealed.slice(0, at) + other + sealed.slice(at + 1);
        if (changed !== sealed) expect(() => rotating.open(changed, "key_1")).toThrow(SealError);
      }
    }
  });

  test("does not open with the data key of another", () => {
    const [mine, others] = [before.seal("mine", "key_1"), before.seal("others", "key_1")];
    const [, , wrapped] = others.split(".");
    const mixed = mine.split(".").with(2, wrapped!).join(".");
    expect(() => before.open(mixed, "key_1")).toThrow(SealError);
  });

  test("takes any text for what it is, and quotes none", () => {
    for (const text of [
      "",
      "hunter2",
      "s1.1..",
      "s1.1.".repeat(500_000),
      `${VECTOR}\n`,
      `s2${VECTOR.slice(2)}`,
    ]) {
      expect(() => before.open(text, "key_1")).toThrow(/^not a sealed secret$/);
    }
    expect(() => before.seal("x".repeat(100_000), "key_1")).toThrow("too long");
  });
});

describe("rotation", () => {
  test("reseals without changing what is protected, until the old key can go", () => {
    const sealed = before.seal("hunter2", "key_1");
    expect(rotating.isCurrent(sealed)).toBe(false);
    expect(rotating.open(sealed, "key_1")).toBe("hunter2");
    expect(() => after.open(sealed, "key_1")).toThrow("encryption key that is not known: 1");

    const again = rotating.reseal(sealed, "key_1");
    expect(again.startsWith(rotating.currentStart)).toBe(true);
    expect(rotating.isCurrent(again)).toBe(true);
    expect(after.open(again, "key_1")).toBe("hunter2");
    expect(again.split(".")[3]).toBe(sealed.split(".")[3]);
    expect(rotating.reseal(again, "key_1")).toBe(again);
  });

  test("to another key of the same version opens nothing", () => {
    const impostor = new Sealer([parseEncryptionKey(newEncryptionKey("1"))]);
    expect(() => impostor.open(before.seal("hunter2", "key_1"), "key_1")).toThrow("changed since");
  });

  test("needs a key, and one of each version", () => {
    expect(() => new Sealer([])).toThrow("at least one");
    expect(() => new Sealer([old, current, old])).toThrow("same version");
    expect(() => parseEncryptionKey("1:short")).toThrow(KeyFormatError);
    expect(() => parseEncryptionKey("1:short")).toThrow("encryption key 1");
  });
});

/** Sealed once, with a nonce and a data key that no test controls. */
const VECTOR =
  "s1.1.5ZtpJAPeKRTfqKiuI72ZAmboO-dqZ0QMySCO0NC-e8wgoS_9y3dLANqBIFWmmq10S8GMJm91K-zyQ1HX.juLKdir6ckuj23gfb_cJDqrZWgOgwSyO-kX37rGr-QOjk5avyVM";
