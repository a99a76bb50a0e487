import type { Clock } from "@gatehouse/changefeed";
import type { LeasePool } from "./lease-pool.ts";
import { type PendingAsk, unitsOf } from "./pending-ask.ts";
import { type Refusal, refusalBy, unmetered } from "./refusal.ts";
import type { Trace } from "./trace.ts";

/** What is lent lies in the pool now, for whoever comes first; what is not, something refused. */
export async function whenLent(
  pool: LeasePool,
  clock: Clock,
  ask: PendingAsk,
  trace: Trace | undefined,
): Promise<Refusal | undefined> {
  try {
    const result = await pool.acquire(ask, trace);
    if (result.outcome === "GRANTED") return undefined;
    if (result.outcome === "UNKNOWN_NODE") return unmetered;
    const bucket = pool.bucket(result.limitId);
    if (bucket === undefined) return undefined;
    const refusal = refusalBy(bucket, result.remaining, result.retryAfterMs, clock.now());
    const refusedBy = { bucket, held: result.held, units: unitsOf(ask, bucket) };
    const notNow = { code: "INDETERMINATE", cause: "not_now" } as const;
    return { ...refusal, ...(result.outcome === "NOT_NOW" && notNow), refusedBy };
  } catch {
    return unmetered;
  }
}

/** The prices are as they were after this call, or those from before stand because metering does not answer. */
export async function whenPriced(pool: LeasePool): Promise<Refusal | undefined> {
  try {
    await pool.readPrices();
    return undefined;
  } catch {
    return unmetered;
  }
}
