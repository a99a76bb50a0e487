import { timestampMs } from "@bufbuild/protobuf/wkt";
import { ErrorReason } from "@gatehouse/proto/common";
import type { ReportUsageRequest } from "@gatehouse/proto/metering";
import { invalid, type Violation } from "@gatehouse/service/failure";
import type { Report } from "../domain/report-usage.ts";
import type { EventDraft } from "../domain/usage-event.ts";
import { nodeName } from "./limit-wire.ts";

const SOURCE = /^[A-Za-z0-9._-]{1,100}$/;
/** So that one transaction takes some tens of milliseconds, and holds nobody up for longer. */
const MAX_EVENTS = 1000;

/** What a report says. Throws Failure INVALID_ARGUMENT naming every bad field that is not of an event. */
export function draftsOf({ source, events }: ReportUsageRequest): EventDraft[] {
  const bad: Violation[] = [];
  if (!SOURCE.test(source)) {
    bad.push({ field: "source", description: "must be 1 to 100 letters, digits, -, _ and ." });
  }
  if (events.length === 0) bad.push({ field: "events", description: "is required" });
  if (events.length > MAX_EVENTS) {
    bad.push({ field: "events", description: `has more than ${MAX_EVENTS} entries` });
  }
  if (bad.length > 0) throw invalid(bad);
  return events.map(({ id, node, meter, units, time, resource }) => {
    const named = nodeName(node);
    return { id, node: named, meter, units, atMs: time && timestampMs(time), resource };
  });
}

export function reportMessage({ events }: ReportUsageRequest, { booked, duplicates, faults }: Report) {
  const errors = [...faults]
    .sort(([a], [b]) => a - b)
    .map(([index, { reason, field, message }]) => {
      return { index, id: events[index]!.id, reason: ErrorReason[reason], field, message };
    });
  return { booked, duplicates, errors };
}
