import { Failure } from "@gatehouse/service/failure";
import { type Refusal, undecidable, undecidableFor } from "./refusal.ts";
import type { Trace } from "./trace.ts";

/** What an attempt is waiting for. Resolves to a code where waiting showed that there is nothing to wait for. */
export interface Wait {
  (trace: Trace | undefined): Promise<Refusal | undefined>;
  /** Of metering; all else is state, of identity's nearly always. */
  readonly isForUnits?: true;
}

/** The same, for units. */
export function forUnits(wait: Wait): Wait {
  return Object.assign(wait, { isForUnits: true as const });
}

/** What could not be read is not known; what was read is in the cache now, or was too late to be believed. */
export async function whenRead(read: Promise<void>): Promise<Refusal | undefined> {
  try {
    await read;
    return undefined;
  } catch (error) {
    const isOverBudget = error instanceof Failure && error.reason === "OVERLOADED";
    return isOverBudget ? undecidableFor("budget") : undecidable;
  }
}
