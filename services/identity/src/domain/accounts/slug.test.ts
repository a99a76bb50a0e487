import { describe, expect, it } from "vitest";
import { SLUG_PATTERN, slugOf } from "./slug.ts";

describe("slugOf", () => {
  it.each([
    ["Café Zürich GmbH", "cafe-zurich-gmbh"],
    ["  --A  &  B--  ", "a-b"],
    ["ﬁnance №5", "finance-no5"],
    ["漢字", "account"],
    [`${"a".repeat(62)} b`, "a".repeat(62)],
  ])("makes of %j %j", (name, slug) => {
    expect(slugOf(name)).toBe(slug);
    expect(slug).toMatch(SLUG_PATTERN);
  });
});
