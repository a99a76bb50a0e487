import { expect, it } from "vitest";
import { eachOf } from "./each-of.ts";
import { type PaceOptions, paced } from "./pace.ts";

/** Batches with the time at which each was given, on a clock that only sleeping moves. */
async function pace(timesMs: readonly number[], options: Omit<PaceOptions, "clock">) {
  let nowMs = 5000;
  const clock = {
    nowMs: () => nowMs,
    sleep: async (ms: number) => {
      nowMs += ms;
    },
  };
  async function* calls() {
    for (const timeMs of timesMs) yield { timeMs };
  }
  const given: { atMs: number; timesMs: number[] }[] = [];
  for await (const batch of paced(calls(), { ...options, clock })) {
    given.push({ atMs: nowMs - 5000, timesMs: batch.map(({ timeMs }) => timeMs) });
  }
  return given;
}

it("fills batches in the order of the trace where there is no speed", async () => {
  expect(await pace([9000, 1, 5, 9, 2], { size: 2, speed: undefined })).toEqual([
    { atMs: 0, timesMs: [9000, 1] },
    { atMs: 0, timesMs: [5, 9] },
    { atMs: 0, timesMs: [2] },
  ]);
});

it("sends at the chosen multiple of real time, and never waits for a time that steps backwards", async () => {
  const timesMs = [60_000, 120_000, 30_000, 119_000, 240_000, 0, 240_300];
  expect(await pace(timesMs, { size: 100, speed: 60 })).toEqual([
    { atMs: 0, timesMs: [60_000] },
    { atMs: 1000, timesMs: [120_000, 30_000, 119_000] },
    { atMs: 3000, timesMs: [240_000, 0, 240_300] },
  ]);
});

it("works on no more items at once than it may, in their order, and stops at a failure", async () => {
  let running = 0;
  let most = 0;
  const begun: number[] = [];
  const work = eachOf(Array(100).keys(), 3, async (item) => {
    begun.push(item);
    most = Math.max(most, ++running);
    await new Promise(setImmediate);
    running--;
    if (item === 20) throw new Error("no more");
  });
  await expect(work).rejects.toThrow("no more");
  expect(most).toBe(3);
  expect(running).toBe(0);
  expect(begun).toEqual([...Array(begun.length).keys()]);
  expect(begun.length).toBeLessThan(26);
});
