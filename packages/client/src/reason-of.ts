import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorReason } from "@gatehouse/proto/common";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "@gatehouse/proto/rpc";

/** Why a call failed: a name of `gatehouse.common.v1.ErrorReason` without its prefix. */
export type ErrorReasonName = keyof typeof ErrorReason;

/** A field of the request that is wrong: its path as in the proto, and what it should have been. */
export interface FieldViolation {
  readonly field: string;
  readonly description: string;
}

/** What a failed call said. */
export interface CallFailure {
  /** The gRPC code. */
  readonly code: Code;
  /** Undefined where the error did not come from Gatehouse: no connection, a deadline, a proxy between. */
  readonly reason: ErrorReasonName | undefined;
  /** For people. */
  readonly message: string;
  /** Facts beside the reason, such as `expected_sequence`. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Every wrong field, for INVALID_FIELD. */
  readonly violations: readonly FieldViolation[];
  /** When to try again, where Gatehouse said so. */
  readonly retryAfterMs: number | undefined;
  /** The same call may succeed later. Creates should then carry an idempotency key, Verify a request id. */
  readonly isTemporary: boolean;
}

const DOMAIN = "gatehouse";
const TEMPORARY_CODES: ReadonlySet<Code> = new Set([Code.Unavailable, Code.DeadlineExceeded]);
const TEMPORARY_REASONS: ReadonlySet<string> = new Set(["BUSY", "OVERLOADED", "SOURCE_UNAVAILABLE"]);

/** Reads whatever a call threw. */
export function reasonOf(error: unknown): CallFailure {
  const caught = ConnectError.from(error);
  const { code, rawMessage: message } = caught;
  const info = caught.findDetails(ErrorInfoSchema).find(({ domain }) => domain === DOMAIN);
  const [bad] = caught.findDetails(BadRequestSchema);
  const [retry] = caught.findDetails(RetryInfoSchema);
  const reason = info !== undefined && isReason(info.reason) ? info.reason : undefined;
  return {
    code,
    reason,
    message,
    metadata: info?.metadata ?? {},
    violations: (bad?.fieldViolations ?? []).map(({ field, description }) => ({ field, description })),
    retryAfterMs: retry?.retryDelay === undefined ? undefined : durationMs(retry.retryDelay),
    isTemporary: TEMPORARY_CODES.has(code) || (reason !== undefined && TEMPORARY_REASONS.has(reason)),
  };
}

// A newer Gatehouse may give reasons that this client does not know; the code then says enough.
function isReason(name: string): name is ErrorReasonName {
  return name !== "UNSPECIFIED" && typeof ErrorReason[name as ErrorReasonName] === "number";
}
