import type { MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  CheckOutcome,
  DecisionCode,
  type ExplainRequest,
  type ExplainResponseSchema,
  type VerifyRequest,
  VerifyRequestSchema,
} from "@gatehouse/proto/authz";
import type { Check, ExplainedBucket, Explanation } from "../domain/explanation.ts";
import { verifyReply } from "./verify-reply.ts";

/** The call that is to be explained: an ExplainRequest is a VerifyRequest, field for field. */
export function explainedCall(request: ExplainRequest): VerifyRequest {
  const { $typeName: _, $unknown: __, ...fields } = request;
  return create(VerifyRequestSchema, fields);
}

export function explainReply(explanation: Explanation): MessageInitShape<typeof ExplainResponseSchema> {
  const { decision, decidedBy, checks, buckets } = explanation;
  return {
    code: DecisionCode[decision.code],
    reason: decision.reason,
    decidedBy,
    checks: checks.map(checkMessage),
    buckets: buckets.map(bucketMessage),
    decision: verifyReply(decision),
  };
}

function checkMessage({ code, outcome, nodeId = "", detail }: Check) {
  return { code: DecisionCode[code], outcome: CheckOutcome[outcome], nodeId, detail };
}

function bucketMessage({ limit, resetsAtMs, outcome, ...numbers }: ExplainedBucket) {
  return {
    limitId: limit.id,
    nodeId: limit.nodeId,
    meter: limit.meter,
    resource: limit.pattern,
    kind: limit.kind,
    units: BigInt(numbers.units),
    used: BigInt(numbers.used),
    leased: BigInt(numbers.leased),
    remaining: BigInt(numbers.remaining),
    held: BigInt(numbers.held),
    ...(resetsAtMs !== undefined && { resetsAt: timestampFromMs(resetsAtMs) }),
    warns: limit.enforcement === "WARN",
    currency: limit.currency ?? "",
    outcome: CheckOutcome[outcome],
  };
}
