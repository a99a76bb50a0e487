import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type BindingLimit as BindingLimitMessage,
  DecisionCode,
  type HeartbeatResponse,
  type VerifyResponse,
} from "@gatehouse/proto/authz";
import { KeyKind } from "@gatehouse/proto/identity";
import type { BindingLimit, Decision } from "../domain/decision.ts";

const NO_LABELS = {};
const NONE: string[] = [];

/** A decision as a whole message: `create` would copy it once more, on the hot path. */
export function verifyReply(decision: Decision): VerifyResponse {
  const { entry, target, binding, retryAfterMs } = decision;
  const account = target?.[0];
  return {
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
    scopes: entry === undefined ? NONE : [...entry.key.scopes],
    roles: entry === undefined ? NONE : [...entry.key.roles],
    ...(binding !== undefined && { bindingLimit: bindingMessage(binding) }),
    warnings: [...decision.warnings],
    ...(retryAfterMs !== undefined &&
      Number.isFinite(retryAfterMs) && {
        retryAfter: durationFromMs(Math.ceil(retryAfterMs)),
      }),
    freshness: decision.freshness,
    staleness: durationFromMs(Math.round(decision.stalenessMs)),
    ...(decision.upstream !== undefined &&
      decision.code === "VALID" && {
        upstreamHeader: { $typeName: "gatehouse.authz.v1.UpstreamHeader", ...decision.upstream },
      }),
    ...(decision.reservedUntilMs !== undefined && {
      reservedUntil: timestampFromMs(decision.reservedUntilMs),
    }),
  };
}

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
    staleness: durationFromMs(Math.round(decision.stalenessMs)),
  };
}

function bindingMessage({ limit, remaining, resetsAtMs }: BindingLimit): BindingLimitMessage {
  return {
    $typeName: "gatehouse.authz.v1.BindingLimit",
    limitId: limit.id,
    nodeId: limit.nodeId,
    meter: limit.meter,
    remaining: BigInt(remaining),
    ...(resetsAtMs !== undefined && { resetsAt: timestampFromMs(Math.round(resetsAtMs)) }),
  };
}
