import type { KeyView } from "@gatehouse/access";
import {
  DELIVERY_STATUSES,
  type Delivery,
  type DeliveryStatus,
  MAX_REDELIVERED,
  MAX_REDELIVERED_NAMED,
} from "@gatehouse/events/webhook";
import { isId } from "@gatehouse/keys";
import type { Violation } from "@gatehouse/service/failure";
import { actorOf } from "./actor.ts";
import { type AlertDependencies, alertInReach, requireBelow, requireManager } from "./manage-alerts.ts";
import { type Page, type PageDraft, pageOf, pageSizeViolations, TOKEN_VIOLATION } from "./page.ts";

/** What was sent to an alert's webhook, or is still to be, oldest first. Throws Failure INVALID_ARGUMENT, NOT_FOUND. */
export async function listAlertDeliveries(
  dependencies: AlertDependencies,
  caller: KeyView,
  request: PageDraft & {
    readonly alert: string;
    /** `UNKNOWN` for what this version does not know. */
    readonly status: DeliveryStatus | "UNKNOWN" | undefined;
  },
): Promise<Page<Delivery>> {
  const { pageToken } = request;
  const status = DELIVERY_STATUSES.find((known) => known === request.status);
  const violations: Violation[] = pageSizeViolations(request);
  if (request.status === "UNKNOWN") {
    violations.push({ field: "status", description: "not known to this version" });
  }
  if (pageToken !== "" && !isId("evt", pageToken)) violations.push(TOKEN_VIOLATION);
  const alert = await alertInReach(dependencies, caller, request.alert, violations);
  requireBelow(caller, alert);
  return pageOf(
    request,
    (count) => dependencies.store.deliveries(alert, status, pageToken, count),
    (last) => last.eventId,
  );
}

/** Sends events again that were given up: those named, or all. Throws Failure INVALID_ARGUMENT, NOT_FOUND. */
export async function redeliverAlert(
  dependencies: AlertDependencies,
  caller: KeyView,
  { alert: alertId, eventIds }: { readonly alert: string; readonly eventIds: readonly string[] },
): Promise<number> {
  requireManager(caller);
  const violations: Violation[] = [];
  if (eventIds.length > MAX_REDELIVERED_NAMED) {
    const description = `must name at most ${MAX_REDELIVERED_NAMED} events`;
    violations.push({ field: "event_ids", description });
  }
  for (const [i, eventId] of eventIds.slice(0, MAX_REDELIVERED_NAMED).entries()) {
    if (!isId("evt", eventId)) {
      violations.push({ field: `event_ids[${i}]`, description: "must be the id of an event" });
    }
  }
  const alert = await alertInReach(dependencies, caller, alertId, violations);
  requireBelow(caller, alert);
  return dependencies.store.redeliver(alert, eventIds, MAX_REDELIVERED, actorOf(caller));
}
