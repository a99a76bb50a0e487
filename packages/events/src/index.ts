export {
  type Deliveries,
  type DeliveryClaim,
  DeliveryPump,
  type DeliveryPumpOptions,
} from "./delivery-pump.ts";
export { type Outcome, type Post, post } from "./post.ts";
export { isPublicAddress } from "./public-address.ts";
export { MAX_ATTEMPTS, retryDelayMs } from "./retry-schedule.ts";
export { signatureOf } from "./signature.ts";
