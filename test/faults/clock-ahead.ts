import { readFileSync } from "node:fs";

/**
 * By how many milliseconds a process's clock is ahead of the machine's: what the file says that CLOCK_AHEAD_IN names. A file
 * that is just being written says none.
 */
export function aheadMs(): number {
  return Number(readFileSync(process.env.CLOCK_AHEAD_IN!, "utf8"));
}
