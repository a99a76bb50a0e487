import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MAX_ATTEMPTS, retryDelayMs } from "./retry-schedule.ts";

const plain = () => 0.5;

describe("the schedule of retries", () => {
  it("begins after ten seconds, ends within three days, and never shrinks", () => {
    const delays = Array.from({ length: MAX_ATTEMPTS - 1 }, (_, index) => retryDelayMs(index + 1, plain)!);
    expect(delays.slice(0, 3)).toEqual([10_000, 25_000, 62_500]);
    expect(delays).toEqual([...delays].sort((left, right) => left - right));
    const days = delays.reduce((sum, delay) => sum + delay) / 86_400_000;
    expect(days).toBeGreaterThan(2.5);
    expect(days).toBeLessThan(3);
    expect(retryDelayMs(MAX_ATTEMPTS, plain)).toBeUndefined();
  });

  it("spreads by a fifth at most", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: MAX_ATTEMPTS - 1 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (attempts, random) => {
          const ratio = retryDelayMs(attempts, () => random)! / retryDelayMs(attempts, plain)!;
          return ratio > 0.799 && ratio < 1.201;
        },
      ),
    );
  });
});
