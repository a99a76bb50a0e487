import { describe, expect, it } from "vitest";
import { SharedRead } from "./shared-read.ts";

/** Reads that end when the test says so; `begun` counts them. */
function scripted() {
  const runs: PromiseWithResolvers<number>[] = [];
  let running = 0;
  let mostRunning = 0;
  const read = new SharedRead(() => {
    const run = Promise.withResolvers<number>();
    runs.push(run);
    mostRunning = Math.max(mostRunning, ++running);
    return run.promise.finally(() => running--);
  });
  return { read, runs, mostRunning: () => mostRunning };
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

describe("a shared read", () => {
  it("gives those who come while one is under way the next one, all the same", async () => {
    const { read, runs } = scripted();
    const first = read.read();
    const second = read.read();
    const third = read.read();
    expect(runs).toHaveLength(1);
    runs[0]!.resolve(1);
    expect(await first).toBe(1);
    await settle();
    expect(runs).toHaveLength(2);
    runs[1]!.resolve(2);
    expect(await Promise.all([second, third])).toEqual([2, 2]);
  });

  it("never hands out a run that began before the question, whenever the question comes", async () => {
    let begun = 0;
    const read = new SharedRead(async () => {
      const number = ++begun;
      await settle();
      return number;
    });
    async function ask(delay: number): Promise<void> {
      for (let turn = 0; turn < delay; turn++) await Promise.resolve();
      const before = begun;
      expect(await read.read()).toBeGreaterThan(before);
    }
    await Promise.all(Array.from({ length: 200 }, (_, delay) => ask(delay)));
    expect(begun).toBeLessThan(200);
  });

  it("never runs two at once, even when a waiter asks again the moment it is answered", async () => {
    const { read, runs, mostRunning } = scripted();
    const again = read.read().then(() => read.read());
    const next = read.read();
    runs[0]!.resolve(1);
    await settle();
    expect(runs).toHaveLength(2);
    runs[1]!.resolve(2);
    expect(await Promise.all([again, next])).toEqual([2, 2]);
    expect(mostRunning()).toBe(1);
  });

  it("passes a failure to those who waited for it, and to nobody else", async () => {
    const { read, runs } = scripted();
    const first = read.read();
    const second = read.read();
    runs[0]!.reject(new Error("down"));
    await expect(first).rejects.toThrow("down");
    await settle();
    runs[1]!.resolve(2);
    expect(await second).toBe(2);
  });
});
