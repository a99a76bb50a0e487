import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { DELIVERY_STATUSES, type Delivery, type DeliveryStatus } from "@gatehouse/events/webhook";
import {
  type AlertDeliverySchema,
  type AlertSchema,
  type CreateAlertRequest,
  AlertDeliveryStatus as WireDeliveryStatus,
  AlertDirection as WireDirection,
  Window as WireWindow,
} from "@gatehouse/proto/metering";
import { ALERT_WINDOWS, type Alert, type AlertSubject } from "../domain/alert.ts";
import type { AlertDraft } from "../domain/alert-draft.ts";

/** Alerts and their deliveries to and from the messages of the API. */

export function alertDraft({
  name,
  subject,
  direction,
  webhookUrl,
}: Pick<CreateAlertRequest, "name" | "subject" | "direction" | "webhookUrl">): AlertDraft {
  return { name, subject: subjectDraft(subject), direction: directionOf(direction), webhookUrl };
}

export function alertMessage(alert: Alert): MessageInitShape<typeof AlertSchema> {
  const { toldAtMs } = alert;
  return {
    id: alert.id,
    nodeId: alert.node.id,
    name: alert.name,
    subject: subjectMessage(alert.subject),
    direction: WireDirection[alert.direction],
    webhookUrl: alert.webhookUrl,
    createdAt: timestampFromMs(alert.createdAtMs),
    ...(toldAtMs !== undefined && { lastToldAt: timestampFromMs(toldAtMs) }),
  };
}

export function deliveryMessage(delivery: Delivery): MessageInitShape<typeof AlertDeliverySchema> {
  const { eventId, type, status, attempts, lastError, nextAttemptAt, at } = delivery;
  return {
    eventId,
    eventType: type,
    status: WireDeliveryStatus[status],
    attempts,
    lastError,
    // What was taken or given up is not attempted again by itself.
    ...(status === "PENDING" && { nextAttemptAt: timestampFromDate(nextAttemptAt) }),
    occurredAt: timestampFromDate(at),
  };
}

export function deliveryStatus(status: WireDeliveryStatus): DeliveryStatus | "UNKNOWN" | undefined {
  if (status === WireDeliveryStatus.UNSPECIFIED) return undefined;
  return DELIVERY_STATUSES.find((known) => WireDeliveryStatus[known] === status) ?? "UNKNOWN";
}

function subjectDraft(subject: CreateAlertRequest["subject"]): AlertDraft["subject"] {
  switch (subject.case) {
    case "limit": {
      const { limit, threshold } = subject.value;
      const share = threshold.case === "share" ? threshold.value : undefined;
      const amount = threshold.case === "amount" ? threshold.value : undefined;
      return { kind: "LIMIT", limit, share, amount };
    }
    case "usage":
      return { ...subject.value, kind: "USAGE", window: windowOf(subject.value.window) };
    case "spend":
      return { ...subject.value, kind: "SPEND", window: windowOf(subject.value.window) };
    case "balance": {
      const { currency, amount } = subject.value;
      return { kind: "BALANCE", currency, amount };
    }
    default:
      return undefined;
  }
}

function subjectMessage(subject: AlertSubject): NonNullable<MessageInitShape<typeof AlertSchema>["subject"]> {
  switch (subject.kind) {
    case "LIMIT": {
      const { limitId: limit, threshold } = subject;
      if ("amount" in threshold) {
        const amount = { case: "amount" as const, value: BigInt(threshold.amount) };
        return { case: "limit", value: { limit, threshold: amount } };
      }
      const share = { case: "share" as const, value: threshold.shareMillionths / 1_000_000 };
      return { case: "limit", value: { limit, threshold: share } };
    }
    case "USAGE":
      return { case: "usage", value: { meter: subject.meter, ...windowedMessage(subject) } };
    case "SPEND":
      return { case: "spend", value: { currency: subject.currency, ...windowedMessage(subject) } };
    case "BALANCE":
      return { case: "balance", value: { currency: subject.currency, amount: BigInt(subject.amount) } };
  }
}

function windowedMessage(subject: Extract<AlertSubject, { window: unknown }>) {
  const { amount, window, timeZone, descendants } = subject;
  return { amount: BigInt(amount), window: WireWindow[window], timeZone, descendants };
}

function windowOf(window: WireWindow) {
  return ALERT_WINDOWS.find((known) => WireWindow[known] === window);
}

function directionOf(direction: WireDirection): AlertDraft["direction"] {
  switch (direction) {
    case WireDirection.UNSPECIFIED:
      return undefined;
    case WireDirection.RISING:
      return "RISING";
    case WireDirection.FALLING:
      return "FALLING";
    default:
      return "UNKNOWN";
  }
}
