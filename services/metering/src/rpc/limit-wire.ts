import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, durationMs, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type AllowanceSchema,
  type LimitSchema,
  LimitSource,
  type SetLimitRequest,
  Enforcement as WireEnforcement,
  Window as WireWindow,
} from "@gatehouse/proto/metering";
import type { Limit, QuotaAllowance } from "../domain/limit.ts";
import type { LimitDraft } from "../domain/limit-draft.ts";
import type { NodeName } from "../domain/node-in-reach.ts";
import type { Allowance } from "../domain/read-limits.ts";

/** Limits and nodes to and from the messages of the API. */

const windows = [
  "MINUTE",
  "HOUR",
  "DAY",
  "WEEK",
  "MONTH",
  "NEVER",
] as const satisfies QuotaAllowance["window"][];

type WireNode =
  | { case: "account"; value: string }
  | { case: "key"; value: string }
  | { case: undefined; value?: undefined };

export function nodeName(node: WireNode): NodeName | undefined {
  switch (node.case) {
    case "account":
      return { kind: "ACCOUNT", name: node.value };
    case "key":
      return { kind: "KEY", id: node.value };
    default:
      return undefined;
  }
}

/** What a request, or a plan, says of a limit. */
export function limitDraft({
  meter,
  resource,
  allowance,
  enforcement,
  reservedShare = 0,
}: Pick<SetLimitRequest, "meter" | "resource" | "allowance" | "enforcement"> & {
  reservedShare?: number;
}): LimitDraft {
  const common = { meter, resource, enforcement: enforcementOf(enforcement), reservedShare };
  switch (allowance.case) {
    case "rate": {
      const { units, interval, burst } = allowance.value;
      return { ...common, rate: { units, intervalMs: interval && durationMs(interval), burst } };
    }
    case "quota": {
      const { units, window, timeZone, anchor } = allowance.value;
      const kind = windows.find((name) => WireWindow[name] === window);
      return { ...common, quota: { units, window: kind, timeZone, anchorMs: anchor && timestampMs(anchor) } };
    }
    default:
      return common;
  }
}

export function limitMessage(limit: Limit): MessageInitShape<typeof LimitSchema> {
  return {
    id: limit.id,
    nodeId: limit.node.id,
    meter: limit.meter,
    resource: limit.resource,
    allowance: allowanceMessage(limit.allowance),
    enforcement: WireEnforcement[limit.enforcement],
    source: LimitSource[limit.source],
    reservedShare: limit.reserved?.share ?? 0,
    createdAt: timestampFromMs(limit.createdAtMs),
    updatedAt: timestampFromMs(limit.updatedAtMs),
  };
}

/** A limit as replicas of authz need it; others are not told who has shares of it. */
export function sharedLimitMessage(limit: Limit): MessageInitShape<typeof LimitSchema> {
  return { ...limitMessage(limit), reservedFor: (limit.shares ?? []).map(({ nodeId }) => nodeId) };
}

/** A limit with what is in its bucket. */
export function bucketMessage(bucket: Allowance): MessageInitShape<typeof AllowanceSchema> {
  const { limit, used, leased, remaining, resetsAtMs } = bucket;
  return {
    limit: limitMessage(limit),
    used: BigInt(used),
    leased: BigInt(leased),
    remaining: BigInt(remaining),
    reservedForOthers: BigInt(bucket.reservedForOthers),
    ...(bucket.allocatedBelow !== undefined && { allocatedBelow: bucket.allocatedBelow }),
    ...(resetsAtMs !== undefined && { resetsAt: timestampFromMs(resetsAtMs) }),
  };
}

function allowanceMessage(allowance: Limit["allowance"]) {
  const units = BigInt(allowance.units);
  if (allowance.kind === "RATE") {
    const interval = durationFromMs(allowance.intervalMs);
    return { case: "rate" as const, value: { units, interval, burst: BigInt(allowance.burst) } };
  }
  const { window, timeZone, anchorMs } = allowance;
  const anchor = anchorMs === undefined ? {} : { anchor: timestampFromMs(anchorMs) };
  return { case: "quota" as const, value: { units, window: WireWindow[window], timeZone, ...anchor } };
}

function enforcementOf(enforcement: WireEnforcement): LimitDraft["enforcement"] {
  switch (enforcement) {
    case WireEnforcement.UNSPECIFIED:
    case WireEnforcement.ENFORCE:
      return "ENFORCE";
    case WireEnforcement.WARN:
      return "WARN";
    default:
      return "UNKNOWN";
  }
}
