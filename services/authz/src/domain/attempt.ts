import type { KeyView } from "@gatehouse/access";
import type { Moment } from "@gatehouse/changefeed";
import type { Refusal } from "./refusal.ts";
import type { VerifyCall } from "./verify-call.ts";

/** One look at a call. */
export interface Attempt {
  readonly call: VerifyCall;
  readonly verifier: KeyView;
  readonly now: Moment;
  /** What the wait before found out; it stands only if nothing that comes before it fails. */
  readonly refusal: Refusal | undefined;
}
