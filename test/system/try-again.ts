import { setTimeout as pause } from "node:timers/promises";
import { Failure } from "@gatehouse/service";

/** What a service answers that decided nothing, since another did not answer it in time: a busy machine does that. */
const UNDECIDED: readonly unknown[] = ["SOURCE_UNAVAILABLE", "BUSY"];
const PAUSE_MS = 100;
const WITHIN_MS = 10_000;

/** Makes a call, and again while its answer says to try again, as clients do; answers or throws as the last try did. */
export async function tryAgain<T>(call: () => Promise<T>): Promise<T> {
  const untilMs = performance.now() + WITHIN_MS;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!isUndecided(error) || performance.now() > untilMs) throw error;
      await pause(PAUSE_MS);
    }
  }
}

// Who did not answer at all said nothing of trying again, and may have done what was asked.
function isUndecided(error: unknown): boolean {
  if (error instanceof Failure && error.retryAfterMs === undefined) return false;
  return UNDECIDED.includes((error as { readonly reason?: unknown }).reason);
}
