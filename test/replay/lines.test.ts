import fc from "fast-check";
import { expect, it } from "vitest";
import { type Line, splitLines } from "./lines.ts";

async function linesOf(chunks: readonly string[], maxBytes?: number): Promise<Line[]> {
  return Array.fromAsync(
    splitLines(
      chunks.map((chunk) => Buffer.from(chunk)),
      maxBytes,
    ),
  );
}

it("gives the same lines however the bytes are cut", async () => {
  const text = fc.string({ unit: fc.constantFrom("a", "é", "\r", "\n", ",") });
  await fc.assert(
    fc.asyncProperty(text, fc.integer({ min: 1, max: 5 }), async (whole, size) => {
      const bytes = Buffer.from(whole);
      const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
        bytes.subarray(i * size, (i + 1) * size),
      );
      const expected = whole.split("\n").map((line) => line.replace(/\r$/, ""));
      if (whole.endsWith("\n") || whole === "") expected.pop();
      const lines = await Array.fromAsync(splitLines(pieces));
      expect(lines).toEqual(expected.map((line, i) => ({ number: i + 1, text: line })));
    }),
  );
});

it("holds no line that is longer than may be, and goes on behind it", async () => {
  expect(await linesOf(["ab\nabc", "defgh", "ij\nabcd\nx"], 4)).toEqual([
    { number: 1, text: "ab" },
    { number: 2, text: undefined },
    { number: 3, text: "abcd" },
    { number: 4, text: "x" },
  ]);
});

it("leaves a byte order mark away", async () => {
  expect(await linesOf(["\ufefftime,a\r\n1,2"])).toMatchObject([{ text: "time,a" }, { text: "1,2" }]);
});
