import { describe, expect, it } from "vitest";
import { decodePageToken, encodePageToken } from "./page-token.ts";

const id = "acc_0Vbe9t6PQhQvrfvLKD1f";

describe("a page token", () => {
  it("continues the list it came from, however its filter is written down", () => {
    const token = encodePageToken({ parent: "x", labels: { a: "1", b: "2" } }, id);
    expect(decodePageToken(token, { labels: { b: "2", a: "1" }, parent: "x" })).toBe(id);
    expect(decodePageToken(token, { labels: { b: "2", a: "1" }, parent: "y" })).toBeUndefined();
  });

  it("is refused when it is none of ours", () => {
    for (const token of [
      "?",
      "a".repeat(10_000),
      Buffer.from(`${"0".repeat(16)}:${id}`).toString("base64url"),
    ]) {
      expect(decodePageToken(token, {})).toBeUndefined();
    }
  });
});
