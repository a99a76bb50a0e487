import { expect, it } from "vitest";
import { MissBudget } from "./miss-budget.ts";

it("a budget of misses is used up by what is not there, and refills with time, up to its burst", () => {
  let nowMs = 0;
  const budget = new MissBudget({ perSecond: 10, burst: 3 }, () => nowMs);
  const taken = (times: number) => Array.from({ length: times }, () => budget.take()).filter(Boolean).length;
  expect(taken(5)).toBe(3);
  budget.giveBack();
  expect(taken(5)).toBe(1);
  nowMs = 100;
  expect(taken(5)).toBe(1);
  nowMs = 60_000;
  for (let i = 0; i < 5; i++) budget.giveBack();
  expect(taken(5)).toBe(3);
});
