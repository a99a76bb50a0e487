import { describe, expect, it } from "vitest";
import { MAX_REFUSALS, RefusalBudget } from "./refusal-budget.ts";

describe("refused attempts", () => {
  it("are put on record up to so many a key and minute, whatever others do", () => {
    const budget = new RefusalBudget();
    const taken = Array.from({ length: MAX_REFUSALS + 5 }, () => budget.take("key_a", 1000));
    expect(taken.filter(Boolean)).toHaveLength(MAX_REFUSALS);
    expect(budget.take("key_b", 1000)).toBe(true);
    expect(budget.take("key_a", 61_000)).toBe(true);
  });
});
