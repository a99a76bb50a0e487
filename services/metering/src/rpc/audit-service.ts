import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromDate, timestampMs } from "@bufbuild/protobuf/wkt";
import type { AuditEvent, Principal } from "@gatehouse/access";
import { type AuditEventSchema, AuditService } from "@gatehouse/proto/metering";
import { type Route, route } from "@gatehouse/service";
import { type AuditDependencies, type EventFilter, exportEvents, listEvents } from "../domain/list-events.ts";

export function auditRoute(dependencies: AuditDependencies): Route<Principal> {
  return route<typeof AuditService, Principal>(AuditService, {
    async listEvents(request, { principal }) {
      const { pageSize, pageToken } = request;
      const draft = { ...filterOf(request), pageSize, pageToken };
      const { rows, nextPageToken } = await listEvents(dependencies, principal.view, draft);
      return { events: rows.map(eventMessage), nextPageToken };
    },

    async *exportEvents(request, { principal, signal }) {
      for await (const events of exportEvents(dependencies, principal, filterOf(request))) {
        yield { events: events.map(eventMessage) };
        if (signal.aborted) return;
      }
    },
  });
}

interface WireFilter extends Omit<EventFilter, "sinceMs" | "untilMs"> {
  readonly since?: Timestamp | undefined;
  readonly until?: Timestamp | undefined;
}

function filterOf(request: WireFilter): EventFilter {
  const { account, descendants, actor, action, target, since, until, outcome } = request;
  const times = { sinceMs: since && timestampMs(since), untilMs: until && timestampMs(until) };
  return { account, descendants, actor, action, target, outcome, ...times };
}

function eventMessage(event: AuditEvent): MessageInitShape<typeof AuditEventSchema> {
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
