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
 * Milliseconds from `then` to `now`: the longer of what the two clocks say. The monotonic one stands still while a
 * machine is suspended, the wall clock can be set back; a state is as old as either says.
 */
export function elapsedMs(now: Moment, then: Moment): number {
  return Math.max(now.monotonicMs - then.monotonicMs, now.wallMs - then.wallMs);
}
