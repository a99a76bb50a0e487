import { appendFileSync, mkdtempSync, readFileSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { AheadFile } from "./ahead-file.ts";

const directory = mkdtempSync(join(tmpdir(), "gatehouse-ahead-"));
const key = (n: number) => `key_${String(n).padStart(20, "0")}`;
const START = 1_800_000_000_000;

test("what was raised is there at the next start, and not what is past by then", () => {
  const path = join(directory, "made/on/the/way/ahead");
  const first = AheadFile.open(path, () => START);
  first.raise(key(1), START + 1000);
  first.raise(key(2), START + 9000);
  first.raise(key(2), START + 2000);
  first.raise(key(3), START + 9000.5);
  expect(first.atStart.size).toBe(0);
  // As a crash leaves it: not closed.
  const second = AheadFile.open(path, () => START + 1000);
  expect([...second.atStart]).toEqual([
    [key(2), START + 9000],
    [key(3), START + 9001],
  ]);
  second.close();
  expect(() => second.raise(key(4), START + 9000)).toThrow();
});

test("what a failed write left is ended by the next line, and passed over", () => {
  const path = join(directory, "torn");
  const file = AheadFile.open(path, () => START);
  file.raise(key(1), START + 1000);
  appendFileSync(path, `\n${key(2)} 00018`);
  file.raise(key(3), START + 3000);
  expect([...AheadFile.open(path, () => START).atStart]).toEqual([
    [key(1), START + 1000],
    [key(3), START + 3000],
  ]);
});

test("it is written anew when it has many lines, and holds so many keys", () => {
  const path = join(directory, "long");
  let nowMs = START;
  const file = AheadFile.open(path, () => nowMs);
  for (let n = 1; n <= 100_001; n++) file.raise(key(1), START + n);
  expect(readFileSync(path, "latin1").split("\n")).toHaveLength(3);
  for (let n = 2; n <= 50_000; n++) file.raise(key(n), START + 200_000);
  expect(() => file.raise(key(50_001), START + 200_000)).toThrow("too many");
  expect(AheadFile.open(path, () => nowMs).atStart.size).toBe(50_000);
  nowMs = START + 200_000;
  expect(AheadFile.open(path, () => nowMs).atStart.size).toBe(0);
});

test("a disk too full to write it anew leaves the old one, which is gone on with once there is room", () => {
  const path = join(directory, "full");
  const noRoom = () => symlinkSync("/dev/full", `${path}.tmp`);
  const before = AheadFile.open(path, () => START);
  before.raise(key(1), START + 1000);
  before.close();
  noRoom();
  const file = AheadFile.open(path, () => START);
  expect([...file.atStart]).toEqual([[key(1), START + 1000]]);
  noRoom();
  expect(() => file.raise(key(2), START + 2000)).toThrow("ENOSPC");
  file.raise(key(3), START + 3000);
  file.close();
  expect([...AheadFile.open(path, () => START).atStart]).toEqual([
    [key(1), START + 1000],
    [key(3), START + 3000],
  ]);
});
