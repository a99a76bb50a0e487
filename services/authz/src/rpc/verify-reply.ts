import { type Duration, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type BindingLimit as BindingLimitMessage,
  type Cost as CostMessage,
  DecisionCode,
  type HeartbeatResponse,
  type VerifyResponse,
} from "@gatehouse/proto/authz";
import { KeyKind } from "@gatehouse/proto/identity";
import type { BindingLimit, Cost, Decision } from "../domain/decision.ts";

const NO_LABELS = {};
const NONE: string[] = [];
const NO_UNITS = 0n;
const FREE: CostMessage[] = [];

/** A decision as a whole message: `create` would copy it once more, on the hot path. Its lists are not to be changed. */
export function verifyReply(decision: Decision): VerifyResponse {
  const { entry, target, binding, retryAfterMs } = decision;
  const account = target?.[0];
  const isValid = decision.code === "VALID";
  const whole: Whole<VerifyResponse> = {
    $typeName: "gatehouse.authz.v1.VerifyResponse",
    code: DecisionCode[decision.code],
    reason: decision.reason,
    decisionId: decision.decisionId,
    keyId: entry?.key.id ?? "",
    keyKind: entry === undefined ? KeyKind.UNSPECIFIED : KeyKind[entry.key.kind],
    keyName: entry?.key.name ?? "",
    keyLabels: entry?.key.labels ?? NO_LABELS,
    accountId: account?.id ?? "",
    accountSlug: account?.slug ?? "",
    accountLabels: account?.labels ?? NO_LABELS,
    organizationId: account?.organizationId ?? "",
    scopes: (entry?.key.scopes ?? NONE) as string[],
    roles: (entry?.key.roles ?? NONE) as string[],
    bindingLimit: binding && bindingMessage(binding, !isValid),
    warnings: decision.warnings as string[],
    retryAfter:
      retryAfterMs !== undefined && Number.isFinite(retryAfterMs)
        ? duration(Math.ceil(retryAfterMs))
        : undefined,
    freshness: decision.freshness,
    staleness: duration(Math.round(decision.stalenessMs)),
    upstreamHeader:
      decision.upstream !== undefined && isValid
        ? { $typeName: "gatehouse.authz.v1.UpstreamHeader", ...decision.upstream }
        : undefined,
    reservedUntil:
      decision.reservedUntilMs === undefined ? undefined : timestampFromMs(decision.reservedUntilMs),
    cost: decision.cost === undefined ? FREE : decision.cost.map(costMessage),
  };
  return whole as VerifyResponse;
}

/**
 * A message of which what is not set stands there as undefined, so that all of them have one shape: a fifth of what
 * spreads cost. The generated types would have it left out; nobody who reads a message sees a difference.
 */
type Whole<M> = { [K in Exclude<keyof M, "$unknown">]-?: M[K] | undefined };

/** What a beat answers. */
export function beatReply(decision: Decision): HeartbeatResponse {
  const { entry, target } = decision;
  return {
    $typeName: "gatehouse.authz.v1.HeartbeatResponse",
    code: DecisionCode[decision.code],
    reason: decision.reason,
    keyId: entry?.key.id ?? "",
    accountId: target?.[0]?.id ?? "",
    freshness: decision.freshness,
    staleness: duration(Math.round(decision.stalenessMs)),
  };
}

function costMessage({ currency, micros }: Cost): CostMessage {
  return { $typeName: "gatehouse.authz.v1.Cost", currency, micros: BigInt(micros) };
}

// Not by durationFromMs, which goes through `create`.
function duration(ms: number): Duration {
  const seconds = Math.floor(ms / 1000);
  const nanos = (ms - seconds * 1000) * 1_000_000;
  return { $typeName: "google.protobuf.Duration", seconds: BigInt(seconds), nanos };
}

// What a limit allows is said where it refused, and costs the others nothing.
function bindingMessage(
  { limit, remaining, resetsAtMs }: BindingLimit,
  hasRefused: boolean,
): BindingLimitMessage {
  const { units = 0, windowMs } = limit;
  const whole: Whole<BindingLimitMessage> = {
    $typeName: "gatehouse.authz.v1.BindingLimit",
    limitId: limit.id,
    nodeId: limit.nodeId,
    meter: limit.meter,
    remaining: BigInt(remaining),
    resetsAt: resetsAtMs === undefined ? undefined : timestampFromMs(Math.round(resetsAtMs)),
    allowed: hasRefused ? BigInt(units) : NO_UNITS,
    window: hasRefused && windowMs !== undefined ? duration(windowMs) : undefined,
  };
  return whole as BindingLimitMessage;
}
