import { expect, test } from "vitest";
import { seldom } from "./seldom.ts";

test("the first is told at once, the others counted until it is time again", () => {
  const told: [string, number][] = [];
  let nowMs = 0;
  const tell = seldom(
    (latest: string, times) => void told.push([latest, times]),
    () => nowMs,
    1000,
  );
  for (const each of ["a", "b", "c"]) tell(each);
  nowMs = 1000;
  tell("d");
  tell("e");
  expect(told).toEqual([
    ["a", 1],
    ["d", 3],
  ]);
});
