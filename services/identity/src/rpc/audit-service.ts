import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Principal } from "@gatehouse/access";
import { type AuditEventSchema, AuditService } from "@gatehouse/proto/identity";
import { type Route, route } from "@gatehouse/service";
import type { Domain } from "../domain/domain.ts";
import type { AuditEvent } from "../domain/events/audit.ts";
import { type EventFilter, exportEvents, listEvents } from "../domain/events/list-events.ts";
import { unixMs } from "./convert-in.ts";

export function auditService(domain: Domain): Route<Principal> {
  return route<typeof AuditService, Principal>(AuditService, {
    async listEvents(request, call) {
      const { pageSize, pageToken } = request;
      const wanted = { ...filterOf(request), pageSize, pageToken };
      const { items, nextPageToken } = await listEvents(domain, call.principal, wanted);
      return { events: items.map(eventMessage), nextPageToken };
    },

    async *exportEvents(request, call) {
      for await (const events of exportEvents(domain, call.principal, filterOf(request))) {
        yield { events: events.map(eventMessage) };
        if (call.signal.aborted) return;
      }
    },
  });
}

interface WireFilter {
  readonly account: string;
  readonly descendants: boolean;
  readonly actor: string;
  readonly action: string;
  readonly target: string;
  readonly since?: Timestamp | undefined;
  readonly until?: Timestamp | undefined;
  readonly outcome: string;
}

function filterOf({
  account,
  descendants,
  actor,
  action,
  target,
  since,
  until,
  outcome,
}: WireFilter): EventFilter {
  const [sinceMs, untilMs] = [unixMs(since), unixMs(until)];
  return { account, descendants, actor, action, target, sinceMs, untilMs, outcome };
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
