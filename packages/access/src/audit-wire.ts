import type { JsonObject } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { AuditEvent } from "./audit.ts";

/** An event as every service's AuditService answers it: each has a message of its own, with the same fields. */
export function auditEventMessage(event: AuditEvent) {
  const { id, at, actorKeyId, actorAccountId, action, target, outcome, accountPath, before, after } = event;
  return {
    id,
    at: timestampFromDate(at),
    actorKeyId,
    actorAccountId,
    action,
    target,
    accountId: accountPath.at(-1) ?? "",
    outcome,
    ...(isObject(before) && { before }),
    ...(isObject(after) && { after }),
  };
}

/** It was JSON in the database, so that is all that it can hold. */
function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
