import { setTimeout as sleep } from "node:timers/promises";
import type { Usage } from "./read-usage.ts";

export interface SettleOptions {
  /** What metering has booked since the run began. */
  readonly read: () => Promise<Usage>;
  /** What does not agree. */
  readonly compare: (usage: Usage) => string[];
  /** How long to wait for the books to agree. */
  readonly deadlineMs: number;
  /** How long they must go on to agree: a batch booked twice arrives after the first. */
  readonly confirmMs?: number;
}

export interface Settled {
  readonly usage: Usage;
  /** Empty where the books agree. */
  readonly differences: readonly string[];
  /** Until they first agreed, or until the deadline. */
  readonly waitedMs: number;
}

const POLL_MS = 200;
/** More than the second that authz's spool takes to ship. */
const CONFIRM_MS = 1500;

/** Waits until the books agree, and once more whether they still do. */
export async function settle(options: SettleOptions): Promise<Settled> {
  const { read, compare, deadlineMs, confirmMs = CONFIRM_MS } = options;
  const beganMs = performance.now();
  for (;;) {
    const usage = await read();
    const differences = compare(usage);
    const waitedMs = performance.now() - beganMs;
    if (differences.length === 0) {
      await sleep(confirmMs);
      const confirmed = await read();
      return { usage: confirmed, differences: compare(confirmed), waitedMs };
    }
    if (waitedMs >= deadlineMs) return { usage, differences, waitedMs };
    await sleep(POLL_MS);
  }
}
