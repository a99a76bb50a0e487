/**
 * Reports what may happen at every call, but no more often than this, with how often it happened since. The first of a
 * kind is told at once.
 */
export function seldom<T>(
  report: (latest: T, times: number) => void,
  nowMs: () => number,
  everyMs = EVERY_MS,
): (latest: T) => void {
  let times = 0;
  let reportedAtMs = Number.NEGATIVE_INFINITY;
  return (latest) => {
    times++;
    const at = nowMs();
    if (at - reportedAtMs < everyMs) return;
    reportedAtMs = at;
    report(latest, times);
    times = 0;
  };
}

const EVERY_MS = 10_000;
