/** The gRPC status codes other than OK, by name. */
export type FailureCode =
  | "CANCELLED"
  | "UNKNOWN"
  | "INVALID_ARGUMENT"
  | "DEADLINE_EXCEEDED"
  | "NOT_FOUND"
  | "ALREADY_EXISTS"
  | "PERMISSION_DENIED"
  | "RESOURCE_EXHAUSTED"
  | "FAILED_PRECONDITION"
  | "ABORTED"
  | "OUT_OF_RANGE"
  | "UNIMPLEMENTED"
  | "INTERNAL"
  | "UNAVAILABLE"
  | "DATA_LOSS"
  | "UNAUTHENTICATED";

/**
 * The names of `gatehouse.common.v1.ErrorReason` without their prefix. Written out, so that domain code which
 * throws a Failure imports no generated code; a test holds the two lists together.
 */
export const REASONS = [
  "INVALID_FIELD",
  "CREDENTIAL_MISSING",
  "CREDENTIAL_INVALID",
  "KEY_DISABLED",
  "KEY_NOT_YET_VALID",
  "KEY_EXPIRED",
  "ACCOUNT_SUSPENDED",
  "ACCOUNT_CLOSED",
  "SCOPE_DENIED",
  "GRANT_EXCEEDS_HOLDER",
  "KEY_KIND_DENIED",
  "OWN_CEILING",
  "PROVIDER_ONLY",
  "NOT_FOUND",
  "SLUG_TAKEN",
  "NAME_TAKEN",
  "PLAN_DEPTH",
  "PLAN_LIMIT",
  "SELF_LOCKOUT",
  "FINAL_STATE",
  "ACCOUNT_INACTIVE",
  "IDEMPOTENCY_MISMATCH",
  "SECRET_NOT_REPLAYABLE",
  "FRESHNESS_UNREACHABLE",
  "SOURCE_UNAVAILABLE",
  "BUSY",
  "SEQUENCE_GAP",
  "DIGEST_MISMATCH",
  "LOG_TRUNCATED",
  "OVERLOADED",
  "INTERNAL",
  "PLAN_FEATURE",
  "TYPE_NOT_ENABLED",
  "TERMS_REQUIRED",
  "ADDRESS_DENIED",
  "ACCOUNT_HOLDS",
  "IN_USE",
  "ALREADY_MEMBER",
  "CREDENTIAL_TAKEN",
  "REQUEST_TOO_LARGE",
  "INTEGRATION_DENIED",
  "CREDIT_EXHAUSTED",
  "RATE_LIMITED",
] as const;

/** Why a call failed; clients branch on it. */
export type Reason = (typeof REASONS)[number];

/** A field that is wrong: its path as in the proto (`charges[2].units`), and what it should have been. */
export interface Violation {
  readonly field: string;
  readonly description: string;
}

/** A quota that is used up: what it is on (`account:acc_…`), and which it is. */
export interface QuotaViolation {
  readonly subject: string;
  readonly description: string;
}

/** What a Failure is made of. */
export interface FailureInit {
  readonly code: FailureCode;
  readonly reason: Reason;
  /** For people. Goes over the wire: no secret, no driver text, nothing from outside the caller's reach. */
  readonly message: string;
  readonly violations?: readonly Violation[] | undefined;
  /** Machine-readable facts beside the reason, such as `expected_sequence`. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** When trying again may help, in milliseconds from now. */
  readonly retryAfterMs?: number | undefined;
  readonly quota?: readonly QuotaViolation[] | undefined;
  /** For the log only; never leaves the process. */
  readonly cause?: unknown;
}

/**
 * An operating error: something that the caller, or its operator, can act on. Thrown by domain code, put on
 * the wire by the transports as it is. Everything else that is thrown is a fault, answered INTERNAL.
 */
export class Failure extends Error {
  override readonly name = "Failure";
  readonly code: FailureCode;
  readonly reason: Reason;
  readonly violations: readonly Violation[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly retryAfterMs: number | undefined;
  readonly quota: readonly QuotaViolation[];

  constructor(init: FailureInit) {
    super(init.message, init.cause === undefined ? undefined : { cause: init.cause });
    this.code = init.code;
    this.reason = init.reason;
    this.violations = init.violations ?? [];
    this.metadata = init.metadata ?? {};
    this.retryAfterMs = init.retryAfterMs;
    this.quota = init.quota ?? [];
  }
}

/** INVALID_ARGUMENT naming every bad field at once. The list must not be empty. */
export function invalid(violations: readonly Violation[], cause?: unknown): Failure {
  const message = violations.map(({ field, description }) => `${field}: ${description}`).join("; ");
  return new Failure({ code: "INVALID_ARGUMENT", reason: "INVALID_FIELD", message, violations, cause });
}

/**
 * NOT_FOUND. The name asked for is not repeated: what is foreign and what does not exist must answer with the
 * same bytes.
 *
 * @param what the kind of thing, such as `account`
 */
export function notFound(what: string): Failure {
  return new Failure({ code: "NOT_FOUND", reason: "NOT_FOUND", message: `no such ${what} in reach` });
}

/** Why a credential is refused. */
export type CredentialReason = Extract<
  Reason,
  | "CREDENTIAL_MISSING"
  | "CREDENTIAL_INVALID"
  | "KEY_DISABLED"
  | "KEY_NOT_YET_VALID"
  | "KEY_EXPIRED"
  | "ACCOUNT_SUSPENDED"
  | "ACCOUNT_CLOSED"
>;

const CREDENTIAL_MESSAGES: Readonly<Record<CredentialReason, string>> = {
  CREDENTIAL_MISSING: "the call needs a key: authorization: Bearer <key>, or x-api-key: <key>",
  CREDENTIAL_INVALID: "the credential is not valid",
  KEY_DISABLED: "the key is disabled",
  KEY_NOT_YET_VALID: "the key is not valid yet",
  KEY_EXPIRED: "the key has expired",
  ACCOUNT_SUSPENDED: "the key's account is suspended",
  ACCOUNT_CLOSED: "the key's account is closed",
};

/** UNAUTHENTICATED, with one message for each reason. */
export function unauthenticated(reason: CredentialReason): Failure {
  return new Failure({ code: "UNAUTHENTICATED", reason, message: CREDENTIAL_MESSAGES[reason] });
}

/** PERMISSION_DENIED: the caller is known, sees the thing, and may not do this. */
export function denied(reason: Reason, message: string): Failure {
  return new Failure({ code: "PERMISSION_DENIED", reason, message });
}

/** FAILED_PRECONDITION: the state of things forbids it; trying again does not help. */
export function failedPrecondition(
  reason: Reason,
  message: string,
  metadata?: Readonly<Record<string, string>>,
): Failure {
  return new Failure({ code: "FAILED_PRECONDITION", reason, message, metadata });
}

/** ALREADY_EXISTS: the name is taken. */
export function alreadyExists(reason: Reason, message: string): Failure {
  return new Failure({ code: "ALREADY_EXISTS", reason, message });
}

/** UNAVAILABLE: what the call needs could not be reached in time. `retryAfterMs` defaults to 100. */
export function unavailable(message: string, cause?: unknown, retryAfterMs = 100): Failure {
  return new Failure({ code: "UNAVAILABLE", reason: "SOURCE_UNAVAILABLE", message, cause, retryAfterMs });
}

/** ABORTED: a row was busy longer than a transaction may wait. `retryAfterMs` defaults to 100. */
export function busy(message: string, cause?: unknown, retryAfterMs = 100): Failure {
  return new Failure({ code: "ABORTED", reason: "BUSY", message, cause, retryAfterMs });
}

/** RESOURCE_EXHAUSTED: the service has as much work as it takes on. `retryAfterMs` defaults to 1000. */
export function overloaded(message: string, retryAfterMs = 1000): Failure {
  return new Failure({ code: "RESOURCE_EXHAUSTED", reason: "OVERLOADED", message, retryAfterMs });
}

/** CANCELLED: nobody waits for the answer any more, so no work is done for it. */
export function abandoned(): Failure {
  return new Failure({
    code: "CANCELLED",
    reason: "SOURCE_UNAVAILABLE",
    message: "the caller gave up, or its deadline has passed",
  });
}
