/** A moment on both clocks, in milliseconds. */
export interface Moment {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

export interface Clock {
  now(): Moment;
}

export const systemClock: Clock = {
  now: () => ({ monotonicMs: performance.now(), wallMs: Date.now() }),
};

/**
 * Milliseconds since `then`: the longer of what the two clocks say. The monotonic one stands still while a
 * machine is suspended, the wall clock can be set back; a state is as old as either says.
 */
export function elapsedMs(clock: Clock, then: Moment): number {
  const now = clock.now();
  return Math.max(now.monotonicMs - then.monotonicMs, now.wallMs - then.wallMs);
}
