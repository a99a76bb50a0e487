import { STATUS_CODES } from "node:http";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { type BindingLimit, DecisionCode, type VerifyResponse } from "@gatehouse/proto/authz";
import { KeyKind } from "@gatehouse/proto/identity";
import { Failure } from "@gatehouse/service/failure";
import type { Credential } from "./credential.ts";
import { CONSUMED_HEADERS, CONTENT_HASH_HEADER, IDENTITY_HEADERS, type IdentityHeader } from "./headers.ts";
import { Unanswerable, type UnanswerableCode } from "./unanswerable.ts";

/** What a gateway is to do with a call, whichever gateway. Names of headers are lower-cased. */
export type GatewayAnswer = Passed | Refused;

/** Pass it on. */
export interface Passed {
  readonly status: 200;
  /** To be set on the call, over what is there. */
  readonly headers: ReadonlyMap<string, string>;
  /** To be taken off the call; none that is set. */
  readonly removed: readonly string[];
}

/** Answer it. */
export interface Refused {
  readonly status: RefusedStatus;
  readonly headers: ReadonlyMap<string, string>;
  /** A problem of RFC 9457. */
  readonly body: string;
}

export type RefusedStatus = 400 | 401 | 402 | 403 | 404 | 429 | 500 | 503;

const REFUSED_STATUS: Readonly<Record<Exclude<keyof typeof DecisionCode, "VALID">, RefusedStatus>> = {
  UNSPECIFIED: 503,
  NOT_FOUND: 401,
  DISABLED: 401,
  NOT_YET_VALID: 401,
  EXPIRED: 401,
  ACCOUNT_SUSPENDED: 401,
  ACCOUNT_CLOSED: 401,
  SIGNATURE_INVALID: 401,
  REPLAYED: 401,
  TERMS_REQUIRED: 403,
  ADDRESS_DENIED: 403,
  INTEGRATION_DENIED: 403,
  SCOPE_DENIED: 403,
  TARGET_NOT_FOUND: 404,
  CREDIT_EXHAUSTED: 402,
  RATE_LIMITED: 429,
  QUOTA_EXCEEDED: 429,
  INDETERMINATE: 503,
};

const UNANSWERABLE_STATUS: Readonly<Record<UnanswerableCode, RefusedStatus>> = {
  CREDENTIAL_MISSING: 401,
  CREDENTIAL_INVALID: 401,
  REQUEST_INVALID: 400,
  SETUP: 500,
  UNAVAILABLE: 503,
};

/** Whether a gateway passes on what it is told to set in a header; lower-cased. */
export type PassesOn = (header: string) => boolean;

/**
 * What a decision means to a gateway. Throws Unanswerable where an upstream credential would be lost at the gateway,
 * and the caller's own go there in its place; an Error where a header would hold what no header may: a fault of ours.
 */
export function answerOf(
  response: VerifyResponse,
  credential: Credential,
  passesOn: PassesOn = () => true,
): GatewayAnswer {
  const { code, reason } = toldOf(response, credential);
  if (code === "VALID") return passed(response, credential, passesOn);
  const status = REFUSED_STATUS[code];
  const retryAfter = response.retryAfter && Math.max(1, Math.ceil(durationMs(response.retryAfter) / 1000));
  const limit = status === 429 ? response.bindingLimit : undefined;
  return refused(status, { code, detail: reason, decision_id: response.decisionId, meter: limit?.meter }, [
    ["www-authenticate", challengeOf(status, code)],
    ["retry-after", retryAfter?.toString() ?? (status === 503 ? "1" : undefined)],
    ["ratelimit", limit && rateLimit(limit, retryAfter)],
    ["ratelimit-policy", limit && rateLimitPolicy(limit)],
  ]);
}

/** What a call that Verify did not decide is answered. `fault` is told what nobody foresaw. */
export function answerOfError(error: unknown, fault: (error: unknown) => void): Refused {
  const { code, message } = unanswerable(error, fault);
  const status = UNANSWERABLE_STATUS[code];
  return refused(status, { code, detail: message }, [
    ["www-authenticate", challengeOf(status, code)],
    ["retry-after", status === 503 ? "1" : undefined],
  ]);
}

// Whoever calls may be anybody, and is not to learn which keys there are: a presented key is a secret, the id of a key
// that signs is none.
function toldOf({ code, reason }: VerifyResponse, credential: Credential) {
  const name = DecisionCode[code] as keyof typeof DecisionCode;
  const isOfSignature = "signed" in credential && (name === "NOT_FOUND" || name === "SIGNATURE_INVALID");
  if (!isOfSignature) return { code: name, reason };
  return { code: "SIGNATURE_INVALID", reason: NO_SIGNATURE } as const;
}

const NO_SIGNATURE = "the signature does not hold, or not at this time, or is of a key that there is none of";

function passed(response: VerifyResponse, credential: Credential, passesOn: PassesOn): Passed {
  const headers = new Map<string, string>();
  const { upstreamHeader } = response;
  if (upstreamHeader !== undefined) {
    const name = upstreamHeader.name.toLowerCase();
    if (!passesOn(name)) {
      throw new Unanswerable("SETUP", `the gateway does not say that it passes on what is to go in ${name}`);
    }
    headers.set(name, upstreamHeader.value);
  }
  const identity: Readonly<Record<IdentityHeader, string>> = {
    "gatehouse-key-id": response.keyId,
    "gatehouse-key-kind": KeyKind[response.keyKind].toLowerCase(),
    "gatehouse-account-id": response.accountId,
    "gatehouse-account-slug": response.accountSlug,
    "gatehouse-organization-id": response.organizationId,
    "gatehouse-decision-id": response.decisionId,
    [CONTENT_HASH_HEADER]: "signed" in credential ? credential.contentSha256 : "",
  };
  for (const name of IDENTITY_HEADERS) if (identity[name] !== "") headers.set(name, identity[name]);
  for (const [name, value] of headers) {
    if (!/^[!-~]+( +[!-~]+)*$/.test(value)) throw new Error(`${name} cannot hold what it should`);
  }
  const gone = [...CONSUMED_HEADERS, ...IDENTITY_HEADERS];
  if ("key" in credential) gone.push(credential.header);
  return { status: 200, headers, removed: [...new Set(gone)].filter((name) => !headers.has(name)) };
}

function refused(
  status: RefusedStatus,
  said: Readonly<Record<string, string | undefined>>,
  headers: readonly (readonly [string, string | undefined])[],
): Refused {
  const body = JSON.stringify({ type: "about:blank", title: STATUS_CODES[status], status, ...said });
  const given = headers.filter((header): header is [string, string] => header[1] !== undefined);
  return {
    status,
    headers: new Map([["content-type", "application/problem+json"], ["cache-control", "no-store"], ...given]),
    body,
  };
}

const CHALLENGE = 'Bearer realm="gatehouse"';

// RFC 6750, section 3: no error where no credential came.
function challengeOf(status: RefusedStatus, code: string): string | undefined {
  if (code === "CREDENTIAL_MISSING") return CHALLENGE;
  if (status === 400) return `${CHALLENGE}, error="invalid_request"`;
  if (status === 401) return `${CHALLENGE}, error="invalid_token"`;
  return code === "SCOPE_DENIED" ? `${CHALLENGE}, error="insufficient_scope"` : undefined;
}

// draft-ietf-httpapi-ratelimit-headers: what is left and when there is more, and what is allowed. The policy is called
// after its meter; which account or key it is on is not the caller's to know.
function rateLimit({ meter, remaining }: BindingLimit, retryAfter: number | undefined): string {
  return `"${meter}";r=${integer(remaining)}${retryAfter === undefined ? "" : `;t=${retryAfter}`}`;
}

function rateLimitPolicy({ meter, allowed, window }: BindingLimit): string {
  const seconds = window === undefined ? 0 : durationMs(window) / 1000;
  // It has no window for a part of a second, and none for a month.
  const isWhole = Number.isInteger(seconds) && seconds > 0;
  return `"${meter}";q=${integer(allowed)}${isWhole ? `;w=${seconds}` : ""}`;
}

/** The largest integer of a structured field (RFC 9651). */
const MAX_INTEGER = 999_999_999_999_999n;

function integer(value: bigint): bigint {
  return value < 0n ? 0n : value > MAX_INTEGER ? MAX_INTEGER : value;
}

/** Of what Verify may find wrong with a request, what only the gateway has said. */
const SAID_BY_GATEWAY = new Set(["resource", "integration", "client_ip"]);

function unanswerable(error: unknown, fault: (error: unknown) => void): Unanswerable {
  if (error instanceof Unanswerable) return error;
  if (error instanceof Failure && error.code === "INVALID_ARGUMENT") {
    const isSetup = error.violations.some(({ field }) => SAID_BY_GATEWAY.has(field));
    return new Unanswerable(isSetup ? "SETUP" : "REQUEST_INVALID", error.message);
  }
  // It is the gateway that asks: what it may not, the caller can do nothing about.
  if (error instanceof Failure && (error.code === "UNAUTHENTICATED" || error.code === "PERMISSION_DENIED")) {
    return new Unanswerable("SETUP", "the gateway may not ask whether this is allowed");
  }
  if (!(error instanceof Failure)) fault(error);
  return new Unanswerable("UNAVAILABLE", "this cannot be decided now; try again");
}
