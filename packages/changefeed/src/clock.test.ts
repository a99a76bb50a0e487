import { describe, expect, it } from "vitest";
import { elapsedMs, type Moment, systemClock } from "./clock.ts";

const then = { monotonicMs: 1000, wallMs: 1_000_000 };
const at = (monotonicMs: number, wallMs: number): Moment => ({ monotonicMs, wallMs });

describe("the time elapsed", () => {
  it("counts a suspension, during which the monotonic clock stands still", () => {
    expect(elapsedMs(at(1000, 1_060_000), then)).toBe(60_000);
  });

  it("counts on while the wall clock is set back", () => {
    expect(elapsedMs(at(3000, 400_000), then)).toBe(2000);
  });

  it("is that of both clocks when they agree", () => {
    expect(elapsedMs(at(1250, 1_000_250), then)).toBe(250);
    expect(elapsedMs(systemClock.now(), systemClock.now())).toBeLessThan(1000);
  });
});
