import { setTimeout as pause } from "node:timers/promises";

/** How often a condition is looked at. */
const EVERY_MS = 20;

/**
 * Asks until the answer is neither undefined nor false, and returns it. Throws after `withinMs`, naming what was
 * waited for and the last error of the asking, if there was one.
 */
export async function until<T>(
  what: string,
  ask: () => T | Promise<T>,
  withinMs = 30_000,
): Promise<Exclude<T, undefined | false>> {
  let cause: unknown;
  for (const untilMs = performance.now() + withinMs; performance.now() < untilMs; await pause(EVERY_MS)) {
    try {
      const answer = await ask();
      cause = undefined;
      if (answer !== undefined && answer !== false) return answer as Exclude<T, undefined | false>;
    } catch (error) {
      cause = error;
    }
  }
  throw new Error(`${what}: not within ${withinMs} ms`, { cause });
}

/** Resolves when the monotonic clock shows `atMs`. */
export async function untilMs(atMs: number): Promise<void> {
  await pause(Math.max(0, atMs - performance.now()));
}
