import { readFileSync } from "node:fs";

/**
 * Where a process is to die, or to be failed by its disk: the next time that it comes to a step. Production knows
 * nothing of this: the programs of tests put their own functions in the place of those that a step calls.
 */
export interface Fault {
  readonly step: string;
  /** `within`: half of it is done, where it has halves. */
  readonly when: "before" | "within" | "after" | "fails";
  /** `start`: the first time. `mark`: the first time from when a call that charges {@link MARK} is written. */
  readonly from: "start" | "mark";
  /** For a negative control, of a commit: that the batch was booked is not noted with it. */
  readonly forgets?: boolean;
}

/** Units that no other call charges. */
export const MARK = 70_001;

/** The fault that the test has written down for this process, if there is one. */
export function readFault(): Fault | undefined {
  const text = readFileSync(process.env.FAULT_FILE!, "utf8");
  return text === "" ? undefined : JSON.parse(text);
}

/** As `kill -9`: nothing more of this process happens. */
export function die(): never {
  process.kill(process.pid, "SIGKILL");
  throw new Error("is dead");
}

export function diskFull(): Error {
  return Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
}
