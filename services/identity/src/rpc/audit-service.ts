import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { EventFilter, Principal } from "@gatehouse/access";
import { auditEventMessage } from "@gatehouse/access/audit-wire";
import { AuditService } from "@gatehouse/proto/identity";
import { type Route, route } from "@gatehouse/service";
import type { Domain } from "../domain/domain.ts";
import { exportEvents, listEvents } from "../domain/events/list-events.ts";
import { unixMs } from "./convert-in.ts";

export function auditService(domain: Domain): Route<Principal> {
  return route<typeof AuditService, Principal>(AuditService, {
    async listEvents(request, call) {
      const { pageSize, pageToken } = request;
      const wanted = { ...filterOf(request), pageSize, pageToken };
      const { items, nextPageToken } = await listEvents(domain, call.principal, wanted);
      return { events: items.map(auditEventMessage), nextPageToken };
    },

    async *exportEvents(request, call) {
      for await (const events of exportEvents(domain, call.principal, filterOf(request))) {
        yield { events: events.map(auditEventMessage) };
        if (call.signal.aborted) return;
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
  const times = { sinceMs: unixMs(since), untilMs: unixMs(until) };
  return { account, descendants, actor, action, target, outcome, ...times };
}
