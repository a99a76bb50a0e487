export {
  type AllocatableBucket,
  type Allocation,
  type Ask,
  allocate,
  type BucketPool,
  type Exhausted,
  type Granted,
  type Need,
  type Shortfall,
  type Wait,
} from "./allocate.ts";
export {
  type AllowanceFault,
  type AskedAllowance,
  allowanceFaults,
  type QuotaAllowance,
  type RateAllowance,
} from "./allowance.ts";
export { type IdleSpan, MAX_IDLE_SPANS } from "./idle.ts";
export { leaseLife } from "./lease-life.ts";
export { leaseSize, lowWater, wantFor } from "./lease-size.ts";
export { payerOf } from "./payer.ts";
export { Pool } from "./pool.ts";
export { type Cost, costOf, type Price, type PricedUse, type PriceInForce, priceInForce } from "./price.ts";
export type { QuotaState } from "./quota.ts";
// Both kinds speak of open, take, settle, …: `quota.take(state, 5)`, `rate.take(state, 5)`.
export * as quota from "./quota.ts";
export type { RateSpec, RateState, Spend } from "./rate.ts";
export * as rate from "./rate.ts";
export { isTimeZone, type Window, type WindowKind, type WindowSpec, windowAt } from "./window.ts";
