import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { MarkFile } from "./mark-file.ts";

const directory = mkdtempSync(join(tmpdir(), "gatehouse-mark-"));

test("what was raised is there at the next start, and nothing lowers it", () => {
  const path = join(directory, "made/on/the/way/mark");
  const first = MarkFile.open(path);
  expect(first.valueMs).toBe(0);
  for (const value of [1_800_000_000_000.5, 7, 1_800_000_000_000]) first.raise(value);
  // As a crash leaves it: not closed.
  expect(MarkFile.open(path).valueMs).toBe(1_800_000_000_001);
  expect(readFileSync(path, "utf8")).toBe("0001800000000001");
  first.close();
  expect(() => first.raise(1_900_000_000_000)).toThrow();
  expect(first.valueMs).toBe(1_800_000_000_001);
});

test.each(["1800", "not a number....", "00018000000000011"])(
  "%j is no mark, and is not passed over",
  (text) => {
    const path = join(directory, "damaged");
    writeFileSync(path, text);
    expect(() => MarkFile.open(path)).toThrow(path);
  },
);
