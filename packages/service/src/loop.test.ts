import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { runLoop } from "./loop.ts";

const quiet = { info: () => {}, warn: () => {} };
const base = { name: "test", everyMs: 1000, jitter: 0, backoff: { minMs: 10, maxMs: 40 }, log: quiet };

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
});

afterEach(() => {
  vi.useRealTimers();
});

describe("the loop", () => {
  it("runs at once and then at its pace", async () => {
    const run = vi.fn();
    const loop = runLoop({ ...base, run });
    expect(run).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(2000);
    expect(run).toHaveBeenCalledTimes(3);
    await loop.stop();
  });

  it("backs off up to its bound while runs fail, never gives up, and recovers its pace", async () => {
    const startedMs: number[] = [];
    let failing = true;
    const run = () => {
      startedMs.push(performance.now());
      if (failing) throw new Error("no luck");
    };
    const loop = runLoop({ ...base, run });
    await vi.advanceTimersByTimeAsync(10 + 20 + 40 + 40 * 50);
    const gaps = startedMs.slice(1).map((ms, index) => Math.round(ms - startedMs[index]!));
    expect(gaps.slice(0, 4)).toEqual([10, 20, 40, 40]);
    expect(gaps).toHaveLength(53);
    failing = false;
    await vi.advanceTimersByTimeAsync(40);
    const runs = startedMs.length;
    await vi.advanceTimersByTimeAsync(999);
    expect(startedMs).toHaveLength(runs);
    await loop.stop();
  });

  it("logs the first failure at once, those after it in a row once in a while, and the first of the next row", async () => {
    const failures: unknown[] = [];
    let failing = true;
    const run = () => {
      if (failing) throw new Error("no luck");
    };
    const warn = (fields: object) => failures.push((fields as { failures: number }).failures);
    const loop = runLoop({ ...base, log: { ...quiet, warn }, run });
    await vi.advanceTimersByTimeAsync(15_000);
    expect(failures).toEqual([1, expect.toSatisfy((times: number) => times > 240)]);
    failing = false;
    await vi.advanceTimersByTimeAsync(40);
    failing = true;
    await vi.advanceTimersByTimeAsync(1000);
    expect(failures[2]).toBe(1);
    expect(failures).toHaveLength(3);
    await loop.stop();
  });

  it("runs once more for any number of pokes, never two at a time", async () => {
    let running = 0;
    let most = 0;
    const run = vi.fn(async () => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 50));
      running--;
    });
    const loop = runLoop({ ...base, run });
    for (let index = 0; index < 10; index++) loop.poke();
    await vi.advanceTimersByTimeAsync(500);
    expect(run).toHaveBeenCalledTimes(2);
    loop.poke();
    await vi.advanceTimersByTimeAsync(1);
    expect(run).toHaveBeenCalledTimes(3);
    expect(most).toBe(1);
    await vi.advanceTimersByTimeAsync(50);
    await loop.stop();
  });

  it("does not let pokes pass the shortest backoff", async () => {
    const run = vi.fn(() => {
      throw new Error("no luck");
    });
    const loop = runLoop({ ...base, backoff: { minMs: 100, maxMs: 10_000 }, run });
    await vi.advanceTimersByTimeAsync(700); // failed at 0, 100, 300, 700
    expect(run).toHaveBeenCalledTimes(4);
    loop.poke();
    await vi.advanceTimersByTimeAsync(99);
    expect(run).toHaveBeenCalledTimes(4);
    await vi.advanceTimersByTimeAsync(1);
    expect(run).toHaveBeenCalledTimes(5);
    await loop.stop();
  });

  it("stops by aborting the run that is going on, and waits for it", async () => {
    let ended = false;
    const loop = runLoop({
      ...base,
      run: (signal) =>
        new Promise((_, reject) => {
          signal.addEventListener("abort", () => {
            ended = true;
            reject(signal.reason);
          });
        }),
    });
    await loop.stop();
    expect(ended).toBe(true);
    loop.poke();
  });
});
