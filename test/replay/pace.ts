/** Where a pace gets its time from. */
export interface PaceClock {
  nowMs(): number;
  sleep(ms: number): Promise<void>;
}

export interface PaceOptions {
  /** Calls that may go together. */
  readonly size: number;
  /** How many times as fast as the trace was; undefined: as fast as they are taken. */
  readonly speed: number | undefined;
  readonly clock: PaceClock;
}

/** Calls due this soon go with those that are due now: timers are not finer, and one call a batch is slow. */
const TOGETHER_MS = 10;

/**
 * Calls in batches, in the order of the trace. With a speed, a call waits until its time has come, counted from
 * the first call. Logs step backwards, because a line is written when a call ends: a call that is earlier than one
 * before it is overdue, and sent at once.
 */
export async function* paced<T extends { readonly timeMs: number }>(
  calls: AsyncIterable<T>,
  { size, speed, clock }: PaceOptions,
): AsyncGenerator<T[]> {
  const beganMs = clock.nowMs();
  let firstMs: number | undefined;
  let batch: T[] = [];
  for await (const call of calls) {
    if (speed !== undefined) {
      firstMs ??= call.timeMs;
      const dueMs = beganMs + (call.timeMs - firstMs) / speed;
      if (dueMs - clock.nowMs() > TOGETHER_MS) {
        if (batch.length > 0) yield batch;
        batch = [];
        const leftMs = dueMs - clock.nowMs();
        if (leftMs > 0) await clock.sleep(leftMs);
      }
    }
    batch.push(call);
    if (batch.length >= size) {
      yield batch;
      batch = [];
    }
  }
  if (batch.length > 0) yield batch;
}
