export { AuditReader, type AuditRow, sweepAudit } from "./audit-reads.ts";
export { deliverEvents, type EventDelivery, type EventDeliveryOptions } from "./deliver-events.ts";
export { type DeliveryPage, readDeliveries, redeliver } from "./delivery-list.ts";
export {
  type Deliveries,
  type DeliveryClaim,
  DeliveryPump,
  type DeliveryPumpOptions,
} from "./delivery-pump.ts";
export { type ClaimedDelivery, DeliveryStore } from "./delivery-store.ts";
export { type OutgoingEvent, outgoingOf, publishEvents, type ToldEvent } from "./outgoing-event.ts";
export { type Outcome, type Post, post } from "./post.ts";
export { isPublicAddress } from "./public-address.ts";
export { MAX_ATTEMPTS, retryDelayMs } from "./retry-schedule.ts";
export { webhookSecrets } from "./sealed-secrets.ts";
export { signatureOf } from "./signature.ts";
