import type { AccountEntry, KeyEntry } from "./entry.ts";
import type { Limit } from "./limit.ts";
import type { Receipt } from "./receipt.ts";
import type { UpstreamHeader } from "./upstream-header.ts";

/** The codes of DECISION_CODE_…, and what each means, for people. */
export const reasons = {
  VALID: "",
  NOT_FOUND: "no such key",
  DISABLED: "the key, or its parent key, is disabled",
  NOT_YET_VALID: "the key, or its parent key, is not valid yet",
  EXPIRED: "the key, or its parent key, has expired",
  ACCOUNT_SUSPENDED: "the account, or one above it, is suspended",
  ACCOUNT_CLOSED: "the account, or one above it, is closed",
  TERMS_REQUIRED: "the organization has yet to accept the provider's terms",
  TARGET_NOT_FOUND: "no such account in the key's reach",
  ADDRESS_DENIED: "the key may not be used from this address",
  INTEGRATION_DENIED: "the key may not be used through this integration",
  SCOPE_DENIED: "the resource is outside the key's scopes",
  SIGNATURE_INVALID: "the signature does not hold, or the request was signed too long ago",
  REPLAYED: "the signed request was seen before",
  RATE_LIMITED: "a rate limit is used up for now",
  QUOTA_EXCEEDED: "a quota is used up until it resets",
  CREDIT_EXHAUSTED: "the prepaid credits are used up",
  INDETERMINATE: "this cannot be decided now; try again",
} as const;

export type DecisionCode = keyof typeof reasons;

export interface BindingLimit {
  readonly limit: Limit;
  readonly remaining: number;
  /** Unix milliseconds; undefined where nothing resets, or it is not known. */
  readonly resetsAtMs: number | undefined;
}

/** What a call costs, in one currency. */
export interface Cost {
  readonly currency: string;
  readonly micros: number;
}

export interface Decision {
  readonly code: DecisionCode;
  readonly reason: string;
  readonly decisionId: string;
  /** Until when its charges are an estimate that can be settled, in Unix milliseconds. */
  readonly reservedUntilMs: number | undefined;
  /** The key; undefined when NOT_FOUND, and when INDETERMINATE before it was found. */
  readonly entry: KeyEntry | undefined;
  /** The account acted on, with its chain. */
  readonly target: readonly AccountEntry[] | undefined;
  readonly binding: BindingLimit | undefined;
  readonly warnings: readonly string[];
  /** By currency; undefined where the call is free. Only where VALID. */
  readonly cost: readonly Cost[] | undefined;
  readonly retryAfterMs: number | undefined;
  /** Where the state behind it stands; empty before anything is known. */
  readonly freshness: string;
  /** How old that state may be. */
  readonly stalenessMs: number;
  /** What to send upstream: a secret. Only where VALID. */
  readonly upstream?: UpstreamHeader | undefined;
  /** What charged is answered only once this says that it was written down. */
  readonly receipt: Receipt | undefined;
}
