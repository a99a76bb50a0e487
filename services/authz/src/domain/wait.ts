import type { Refusal } from "./refusal.ts";
import type { Trace } from "./trace.ts";

/** What an attempt is waiting for. Resolves to a code where waiting showed that there is nothing to wait for. */
export type Wait = (trace: Trace | undefined) => Promise<Refusal | undefined>;
