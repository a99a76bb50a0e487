import { describe, expect, it } from "vitest";
import { TraceSampling } from "./trace-sampling.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const SPAN = "b7ad6b7169203331";
const sampled = `00-${TRACE}-${SPAN}-01`;

describe("which calls are traced", () => {
  it.each([
    [0, 0],
    [0.25, 250],
    [1, 1000],
  ])("of those that say nothing, a share of %s", (ratio, expected) => {
    let n = 0;
    const sampling = new TraceSampling(
      ratio,
      () => 0,
      () => (n++ % 1000) / 1000,
    );
    const roots = Array.from({ length: 1000 }, () => sampling.sample(undefined)).filter(Boolean);
    expect(roots).toHaveLength(expected);
    expect(roots.every((each) => each === "root")).toBe(true);
  });

  it("those that say so, in the trace that they name", () => {
    const context = new TraceSampling(0, () => 0).sample(sampled);
    expect(context).toEqual({ traceId: TRACE, spanId: SPAN, traceFlags: 1, isRemote: true });
  });

  it("none that says that it is not, whatever the share", () => {
    expect(new TraceSampling(1, () => 0).sample(`00-${TRACE}-${SPAN}-00`)).toBeUndefined();
  });

  it.each([
    "",
    "00-0-0-01",
    `00-${"0".repeat(32)}-${SPAN}-01`,
    `ff-${TRACE}-${SPAN}-01`,
    `00-${TRACE}-${SPAN}-01-more`,
    "x".repeat(10_000),
  ])("and %j says nothing", (traceparent) => {
    expect(new TraceSampling(1, () => 0).sample(traceparent)).toBe("root");
    expect(new TraceSampling(0, () => 0).sample(traceparent)).toBeUndefined();
  });

  it("no more than a hundred a second of those that say so, and again when time has passed", () => {
    let nowMs = 0;
    const sampling = new TraceSampling(0, () => nowMs);
    const taken = () => Array.from({ length: 5000 }, () => sampling.sample(sampled)).filter(Boolean).length;
    expect(taken()).toBe(100);
    expect(taken()).toBe(0);
    nowMs += 250;
    expect(taken()).toBe(25);
    nowMs += 3_600_000;
    expect(taken()).toBe(100);
  });
});
