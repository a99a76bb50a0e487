import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  isResource,
  MAX_SCOPE_LENGTH,
  MAX_SEGMENT_LENGTH,
  MAX_SEGMENTS,
  parseResource,
  parseScope,
} from "./scope.ts";
import { MAX_SCOPES, parseScopeList, scopeListErrors } from "./scope-list.ts";
import { ScopeSyntaxError } from "./scope-syntax-error.ts";

const long = (length: number) => "x".repeat(length);
const deep = (segments: number) => Array(segments).fill("s").join(".");
const widest = `${long(63)}.${long(63)}.${long(63)}.${long(64)}`;

describe("a scope", () => {
  test.each(["weather.read", "orders.**", "!orders.cancel", "**", "!**", "*", "*.**", "a.*.c", "A-1_z"])(
    "%s parses",
    (text) => expect(parseScope(text)).toMatchObject({ text, deny: text.startsWith("!") }),
  );

  test.each([
    ["", "is empty"],
    ["!", "is empty"],
    ["!!a", "character"],
    ["a..b", "empty segment"],
    [".a", "empty segment"],
    ["a.", "empty segment"],
    ["**.a", "before its last"],
    ["a.**.**", "before its last"],
    ["a*", "character"],
    ["***", "character"],
    ["a b", "character"],
    ["a.\0", "character"],
    ["é", "character"],
    [long(MAX_SEGMENT_LENGTH + 1), "segment longer"],
    [deep(MAX_SEGMENTS + 1), "more than 16 segments"],
    [`${widest}x`, "longer than 256"],
    [".".repeat(5_000_000), "longer than 256"],
  ])("%.40j is refused: %s", (text, reason) => {
    expect(() => parseScope(text)).toThrow(ScopeSyntaxError);
    expect(() => parseScope(text)).toThrow(reason);
  });

  test("the bounds themselves are inside, and ! is not counted", () => {
    expect(widest).toHaveLength(MAX_SCOPE_LENGTH);
    for (const text of [long(MAX_SEGMENT_LENGTH), deep(MAX_SEGMENTS), widest]) {
      expect(parseScope(`!${text}`).segments).toEqual(text.split("."));
      expect(parseResource(text)).toBe(text);
    }
  });

  test("an error quotes hostile text clipped and escaped", () => {
    expect(() => parseScope(`\n${long(200)}`)).toThrow(/^scope "\\nx{79}…" has a segment/);
  });
});

describe("a resource", () => {
  test.each(["*", "**", "a.*", "!a", "", "a.", "a..b", "a\0", long(65), deep(17), `${widest}x`])(
    "is not %.40j",
    (text) => {
      expect(() => parseResource(text)).toThrow(ScopeSyntaxError);
      expect(isResource(text)).toBe(false);
    },
  );

  test("the fast check and the parser agree on any text", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary", maxLength: 300 }),
      fc.string({ unit: fc.constantFrom(".", "a", "-", "*", "é"), maxLength: 300 }),
      fc
        .array(fc.string({ unit: fc.constantFrom("a", "9"), maxLength: 70 }), { maxLength: 18 })
        .map((s) => s.join(".")),
    );
    fc.assert(
      fc.property(text, (candidate) => {
        expect(isResource(candidate)).toBe(
          scopeListErrors([candidate]).length === 0 && !/[*!]/.test(candidate),
        );
      }),
      { numRuns: 300 },
    );
  });
});

describe("a list", () => {
  test("names the place of its first error, and all of them when asked", () => {
    const list = ["a", "b.", "c", "**.d"];
    expect(() => parseScopeList(list)).toThrow(expect.objectContaining({ index: 1, scope: "b." }));
    expect(scopeListErrors(list).map(({ index }) => index)).toEqual([1, 3]);
    expect(scopeListErrors(["a"])).toEqual([]);
  });

  test("is bounded", () => {
    expect(() => parseScopeList(Array(MAX_SCOPES).fill("a"))).not.toThrow();
    expect(() => parseScopeList(Array(MAX_SCOPES + 1).fill("a"))).toThrow("more than 200");
    expect(scopeListErrors(Array(1_000_000).fill("."))).toHaveLength(MAX_SCOPES + 1);
  });
});
