import type { Decision, DecisionCode } from "./decision.ts";
import type { Limit } from "./limit.ts";

/** The checks of Verify, in the order in which they are made: the first that fails decides. */
export const CHECKS = [
  "NOT_FOUND",
  "SIGNATURE_INVALID",
  "REPLAYED",
  "DISABLED",
  "NOT_YET_VALID",
  "EXPIRED",
  "ACCOUNT_SUSPENDED",
  "ACCOUNT_CLOSED",
  "TERMS_REQUIRED",
  "TARGET_NOT_FOUND",
  "ADDRESS_DENIED",
  "INTEGRATION_DENIED",
  "SCOPE_DENIED",
] as const satisfies readonly DecisionCode[];

/** A check, by the code that a call gets that fails it. */
export type CheckCode = (typeof CHECKS)[number];

export type CheckOutcome = "PASSED" | "FAILED" | "NOT_APPLICABLE" | "NOT_REACHED" | "UNKNOWN";

export interface Check {
  readonly code: CheckCode;
  readonly outcome: CheckOutcome;
  /** The key or account that it hung on; undefined where that is out of the verifier's sight. */
  readonly nodeId: string | undefined;
  /** For people. */
  readonly detail: string;
}

/** A bucket that a call meets, with its numbers. */
export interface ExplainedBucket {
  readonly limit: Limit;
  /** What the call would take. */
  readonly units: number;
  readonly used: number;
  /** Lent to replicas and not spent, as far as metering and this replica know. */
  readonly leased: number;
  readonly remaining: number;
  /** In hand here. */
  readonly held: number;
  /** Unix milliseconds; undefined where nothing resets. */
  readonly resetsAtMs: number | undefined;
  readonly outcome: CheckOutcome;
}

/** What Verify would answer, and why. */
export interface Explanation {
  /** Without a decision id. */
  readonly decision: Decision;
  /** A check's code, a limit's id, `above`; empty where nothing stands in the way, or it is not known what. */
  readonly decidedBy: string;
  readonly checks: readonly Check[];
  readonly buckets: readonly ExplainedBucket[];
}
