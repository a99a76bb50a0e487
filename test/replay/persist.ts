import { setTimeout as sleep } from "node:timers/promises";
import { reasonOf } from "@gatehouse/client";

/** Over half a minute in all: a service that restarts is back by then. */
const ATTEMPTS_MAX = 20;
const WAIT_MIN_MS = 50;
const WAIT_MAX_MS = 2000;

/** How long to wait before another attempt: as long as was said, else twice as long as before, up to 2 s. */
export function waitBefore(attempt: number, retryAfterMs: number | undefined): number {
  const backoffMs = Math.min(WAIT_MIN_MS * 2 ** (attempt - 1), WAIT_MAX_MS);
  return retryAfterMs === undefined ? backoffMs : Math.min(Math.max(retryAfterMs, WAIT_MIN_MS), WAIT_MAX_MS);
}

/** Makes a call that may be made twice until it succeeds, or fails for good, or too often. */
export async function persistently<T>(call: () => Promise<T>, onRetry: () => void = () => {}): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call();
    } catch (error) {
      const { isTemporary, retryAfterMs } = reasonOf(error);
      if (!isTemporary || attempt === ATTEMPTS_MAX) throw error;
      onRetry();
      await sleep(waitBefore(attempt, retryAfterMs));
    }
  }
}
