import type { Refusal } from "./refusal.ts";
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
