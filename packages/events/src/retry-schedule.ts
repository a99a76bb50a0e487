/** After as many attempts, over nearly three days, a delivery is given up. */
export const MAX_ATTEMPTS = 16;

const FIRST_MS = 10_000;
const FACTOR = 2.5;
const LONGEST_MS = 10 * 3_600_000;
/** Spreads what failed together, so that a receiver that is back is not met by all of it at once. */
const JITTER = 0.2;

/** How long to wait after so many failed attempts; undefined where there is to be no other. */
export function retryDelayMs(attempts: number, random: () => number = Math.random): number | undefined {
  if (attempts >= MAX_ATTEMPTS) return undefined;
  const delayMs = Math.min(LONGEST_MS, FIRST_MS * FACTOR ** (attempts - 1));
  return Math.round(delayMs * (1 + JITTER * (2 * random() - 1)));
}
