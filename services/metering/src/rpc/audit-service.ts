import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import type { EventFilter, Principal } from "@gatehouse/access";
import { auditEventMessage } from "@gatehouse/access/audit-wire";
import { AuditService } from "@gatehouse/proto/metering";
import { type Route, route } from "@gatehouse/service";
import { type AuditDependencies, exportEvents, listEvents } from "../domain/list-events.ts";

export function auditRoute(dependencies: AuditDependencies): Route<Principal> {
  return route<typeof AuditService, Principal>(AuditService, {
    async listEvents(request, { principal }) {
      const { pageSize, pageToken } = request;
      const draft = { ...filterOf(request), pageSize, pageToken };
      const { rows, nextPageToken } = await listEvents(dependencies, principal.view, draft);
      return { events: rows.map(auditEventMessage), nextPageToken };
    },

    async *exportEvents(request, { principal, signal }) {
      for await (const events of exportEvents(dependencies, principal, filterOf(request))) {
        yield { events: events.map(auditEventMessage) };
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
