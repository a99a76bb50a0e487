import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { KeyFormatError } from "./key-format-error.ts";
import { newPepper, parsePepper } from "./pepper.ts";

const hex = "00ff".repeat(16);
const base64url = Buffer.from(hex, "hex").toString("base64url");

describe("a pepper", () => {
  test("is read from hex and base64url alike", () => {
    const fromHex = parsePepper(`1:${hex}`);
    expect(fromHex.version).toBe("1");
    expect(fromHex.secret.export().toString("hex")).toBe(hex);
    for (const text of [`1:${hex.toUpperCase()}`, `1:${base64url}`, `1:${base64url}=`]) {
      expect(parsePepper(text).secret.equals(fromHex.secret)).toBe(true);
    }
  });

  test.each([
    ["", "<version>:<secret>"],
    [hex, "<version>:<secret>"],
    [`12:${hex}`, "<version>:<secret>"],
    [`_:${hex}`, "<version>:<secret>"],
    [`1:${hex.slice(2)}`, "32 to 128 bytes"],
    [`1:${hex.repeat(5)}`, "32 to 128 bytes"],
    [`1:${"x".repeat(200)}`, "32 to 128 bytes"],
    [`1:${"x".repeat(1_000_000)}`, "32 to 128 bytes"],
    ["1:", "neither"],
    [`1:${hex}\n`, "neither"],
    [`1:${"x".repeat(45)}`, "neither"],
  ])("%.20j is refused without being quoted", (text, reason) => {
    expect(() => parsePepper(text)).toThrow(KeyFormatError);
    expect(() => parsePepper(text)).toThrow(reason);
    expect(() => parsePepper(text)).not.toThrow("00ff");
  });

  test("made new is random and parses", () => {
    expect(parsePepper(newPepper("z")).version).toBe("z");
    expect(newPepper("1")).not.toBe(newPepper("1"));
    expect(() => newPepper("10")).toThrow(KeyFormatError);
  });

  test("does not show its secret when printed", () => {
    const printed = inspect(parsePepper(`1:${hex}`), { depth: 9, showHidden: true });
    expect(printed).not.toContain(hex);
    expect(printed).not.toContain(base64url);
    expect(printed).not.toMatch(/00.ff/);
  });
});
