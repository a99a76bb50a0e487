import type { AskResult } from "./lease-source.ts";
import type { Limit } from "./limit.ts";

/** What the lease pool did since the start, for those who watch it. */
export class LeaseCounts {
  /** Requests to metering; each carries what was asked for in one turn. */
  acquires = 0;
  failedAcquires = 0;
  /** The latest request failed. */
  isUnreachable = false;
  readonly asks: Record<AskResult["outcome"], number> = {
    GRANTED: 0,
    EXHAUSTED: 0,
    NOT_NOW: 0,
    UNKNOWN_NODE: 0,
  };
  /** Of wallets, micros. */
  readonly unitsGranted: Record<Limit["kind"], number> = { rate: 0, quota: 0, wallet: 0 };
  /** Refusals of metering's that were remembered, and calls that one of these answered. */
  refusalsRemembered = 0;
  refusalsRepeated = 0;
  /** Limits whose leases metering wanted back. */
  recalls = 0;
}
