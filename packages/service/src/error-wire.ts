import { create, type DescMessage, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { type Any, anyIs, anyPack, anyUnpack, durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import { ConnectError } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  QuotaFailureSchema,
  RetryInfoSchema,
  StatusSchema,
} from "@gatehouse/proto/rpc";
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { Failure, type FailureCode, REASONS, type Reason, type Violation } from "./failure.ts";
import type { Span } from "./span.ts";

/** The domain of every ErrorInfo that Gatehouse sends. */
export const ERROR_DOMAIN = "gatehouse";

// Errors travel in HTTP/2 trailers, and clients built on gRPC's C core drop a call whose headers pass 8 KiB.
// Details are base64 there (4/3), and the message is sent twice, percent-encoded.
const VIOLATIONS_BYTES_MAX = 2500;
const MESSAGE_CHARACTERS_MAX = 500;

// RFC 6750, section 3.1: without an error where no credential came.
const CHALLENGE = 'Bearer realm="gatehouse"';
const CHALLENGE_INVALID = `${CHALLENGE}, error="invalid_token"`;

/** Where faults are told to the operator; the caller only gets the incident's id. */
export type ReportFault = (incident: string, error: unknown, span?: Span) => void;

/** The Failure to answer with. A fault of ours is reported, and turned into one that says nothing. */
export function answerable(error: unknown, report: ReportFault, span?: Span): Failure {
  if (error instanceof Failure) {
    return error;
  }
  const incident = `inc_${crypto.randomUUID().replaceAll("-", "")}`;
  report(incident, error, span);
  return new Failure({
    code: "INTERNAL",
    reason: "INTERNAL",
    message: "internal error",
    metadata: { incident },
  });
}

/** A Failure for Connect, gRPC-Web and JSON. */
export function connectError(failure: Failure): ConnectError {
  const headers: Record<string, string> = {};
  if (failure.retryAfterMs !== undefined) {
    headers["retry-after"] = String(Math.ceil(failure.retryAfterMs / 1000));
  }
  if (failure.code === "UNAUTHENTICATED") {
    headers["www-authenticate"] = failure.reason === "CREDENTIAL_MISSING" ? CHALLENGE : CHALLENGE_INVALID;
  }
  const details = detailsOf(failure).map(({ desc, value }) => ({ desc, value: value as never }));
  return new ConnectError(bounded(failure.message), status[failure.code] as number, headers, details);
}

/** A Failure for grpc-js, with its details as google.rpc.Status in `grpc-status-details-bin`. */
export function grpcError(failure: Failure): Pick<ServiceError, "code" | "details" | "metadata"> {
  const code = status[failure.code];
  const message = bounded(failure.message);
  const details = detailsOf(failure).map(({ desc, value }) => anyPack(desc, value));
  const metadata = new Metadata();
  const bytes = toBinary(StatusSchema, create(StatusSchema, { code, message, details }));
  metadata.set("grpc-status-details-bin", Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  return { code, details: message, metadata };
}

/**
 * What a client caught, as a Failure again: from ConnectError, or from grpc-js. An error that never carried
 * details (the connection failed, the deadline passed) gets the reason that fits its code.
 */
export function failureFrom(error: unknown): Failure {
  if (error instanceof Failure) {
    return error;
  }
  if (error instanceof ConnectError) {
    const details = error.details.filter((detail) => "type" in detail);
    const anys = details.map(({ type, value }) => ({ typeUrl: `type.googleapis.com/${type}`, value }) as Any);
    return failureOf(codeName(error.code), error.rawMessage, anys, error);
  }
  if (error instanceof Error && typeof (error as Partial<ServiceError>).code === "number") {
    const { code, details, metadata } = error as ServiceError;
    const packed = metadata?.get("grpc-status-details-bin")[0];
    return failureOf(codeName(code), details ?? error.message, unpackStatus(packed), error);
  }
  return failureOf("UNKNOWN", "the call failed", [], error);
}

interface Detail {
  readonly desc: DescMessage;
  readonly value: Message;
}

function detailsOf(failure: Failure): Detail[] {
  const info = { reason: failure.reason, domain: ERROR_DOMAIN, metadata: { ...failure.metadata } };
  const details: Detail[] = [{ desc: ErrorInfoSchema, value: create(ErrorInfoSchema, info) }];
  if (failure.violations.length > 0) {
    const fieldViolations = boundedViolations(failure.violations);
    details.push({ desc: BadRequestSchema, value: create(BadRequestSchema, { fieldViolations }) });
  }
  if (failure.quota.length > 0) {
    const violations = failure.quota.map(({ subject, description }) => ({ subject, description }));
    details.push({ desc: QuotaFailureSchema, value: create(QuotaFailureSchema, { violations }) });
  }
  if (failure.retryAfterMs !== undefined) {
    const retryDelay = durationFromMs(Math.ceil(failure.retryAfterMs));
    details.push({ desc: RetryInfoSchema, value: create(RetryInfoSchema, { retryDelay }) });
  }
  return details;
}

function boundedViolations(violations: readonly Violation[]): Violation[] {
  const kept: Violation[] = [];
  let bytes = 0;
  for (const { field, description } of violations) {
    const violation = { field: clip(field, 200), description: clip(description, 200) };
    bytes += Buffer.byteLength(violation.field) + Buffer.byteLength(violation.description) + 8;
    if (bytes > VIOLATIONS_BYTES_MAX) {
      kept.push({ field: "", description: `and ${violations.length - kept.length} more` });
      break;
    }
    kept.push(violation);
  }
  return kept;
}

function failureOf(code: FailureCode, message: string, anys: readonly Any[], cause: unknown): Failure {
  const info = unpack(anys, ErrorInfoSchema);
  const badRequest = unpack(anys, BadRequestSchema);
  const quota = unpack(anys, QuotaFailureSchema);
  const delay = unpack(anys, RetryInfoSchema)?.retryDelay;
  const ours = info?.domain === ERROR_DOMAIN && (REASONS as readonly string[]).includes(info.reason);
  return new Failure({
    code,
    reason: ours ? (info.reason as Reason) : reasonFor(code),
    message,
    metadata: info?.metadata,
    violations: badRequest?.fieldViolations.map(({ field, description }) => ({ field, description })),
    quota: quota?.violations.map(({ subject, description }) => ({ subject, description })),
    retryAfterMs: delay === undefined ? undefined : durationMs(delay),
    cause,
  });
}

function reasonFor(code: FailureCode): Reason {
  switch (code) {
    case "INVALID_ARGUMENT":
      return "INVALID_FIELD";
    case "NOT_FOUND":
      return "NOT_FOUND";
    case "UNAUTHENTICATED":
      return "CREDENTIAL_INVALID";
    case "PERMISSION_DENIED":
      return "SCOPE_DENIED";
    case "RESOURCE_EXHAUSTED":
      return "OVERLOADED";
    case "UNAVAILABLE":
    case "DEADLINE_EXCEEDED":
    case "CANCELLED":
      return "SOURCE_UNAVAILABLE";
    default:
      return "INTERNAL";
  }
}

function unpackStatus(packed: string | Buffer | undefined): readonly Any[] {
  if (!(packed instanceof Uint8Array)) {
    return [];
  }
  try {
    return fromBinary(StatusSchema, packed).details;
  } catch {
    return []; // the other side's details are a courtesy; its code stands without them
  }
}

function unpack<D extends DescMessage>(anys: readonly Any[], desc: D) {
  try {
    const found = anys.find((any) => anyIs(any, desc));
    return found === undefined ? undefined : anyUnpack(found, desc);
  } catch {
    return undefined;
  }
}

function codeName(code: number): FailureCode {
  const name = status[code];
  return name === undefined || name === "OK" ? "UNKNOWN" : (name as FailureCode);
}

// grpc-js passes the message through encodeURI, which throws on half a surrogate pair.
function bounded(message: string): string {
  return clip(message, MESSAGE_CHARACTERS_MAX).toWellFormed();
}

function clip(text: string, characters: number): string {
  return text.length <= characters ? text : `${text.slice(0, characters - 1)}…`;
}
