import type { Moment } from "@gatehouse/changefeed";
import type { BindingLimit, DecisionCode } from "./decision.ts";
import type { Limit } from "./limit.ts";
import type { LocalBucket } from "./local-bucket.ts";
import { type PendingAsk, unitsOf } from "./pending-ask.ts";

/** What can keep a call from being decided, for those who watch. */
export const CAUSES = [
  "identity",
  "metering",
  "not_now",
  "budget",
  "overload",
  "signing",
  "spool",
  "attempts",
] as const;
export type Cause = (typeof CAUSES)[number];

/** A decision other than VALID, as found on the way. */
export interface Refusal {
  readonly code: DecisionCode;
  /** For people, where there is more to say than what the code means. */
  readonly reason?: string | undefined;
  /** Why, where the code is INDETERMINATE. */
  readonly cause?: Cause | undefined;
  /** The bucket that refused, and what was in hand of it when metering was asked for how much. */
  readonly refusedBy?: { readonly bucket: LocalBucket; readonly held: number; readonly units: number };
  readonly binding?: BindingLimit | undefined;
  readonly retryAfterMs?: number | undefined;
}

/** When a call that could not be decided is worth trying again. */
const RETRY_MS = 100;

/** Of a path, in a reason that people read. */
const MAX_SHOWN = 100;

/** Identity is out of reach, or what came from it is too old. */
export const undecidable: Refusal = undecidableFor("identity");
/** So it is with metering. */
export const unmetered: Refusal = undecidableFor("metering");

/** INDETERMINATE, and what for. */
export function undecidableFor(cause: Cause): Refusal {
  return { code: "INDETERMINATE", cause, retryAfterMs: RETRY_MS };
}

/** Whether a wait found out that nothing can be decided. What a limit refused says nothing of state that is missing, or in doubt. */
export function isUndecided(refusal: Refusal | undefined): refusal is Refusal {
  return refusal?.code === "INDETERMINATE";
}

export const notFound: Refusal = { code: "NOT_FOUND" };

/** SCOPE_DENIED: nothing says what the call takes. Of the path not its query, which may hold a secret, nor all of a long one. */
export function noEndpoint({ method, path }: { readonly method: string; readonly path: string }): Refusal {
  const [named = ""] = path.split("?", 1);
  const shown = named.length > MAX_SHOWN ? `${named.slice(0, MAX_SHOWN)}…` : named;
  return { code: "SCOPE_DENIED", reason: `no endpoint of the catalog matches ${method} ${shown}` };
}

/** There is no wallet to pay with. */
export const unpaid: Refusal = { code: "CREDIT_EXHAUSTED" };

/** What a call is answered that a limit of the kind refused. */
export const REFUSED_AS: Readonly<Record<Limit["kind"], DecisionCode>> = {
  rate: "RATE_LIMITED",
  quota: "QUOTA_EXCEEDED",
  wallet: "CREDIT_EXHAUSTED",
};

/** The refusal of a bucket. */
export function refusalBy(
  bucket: LocalBucket,
  remaining: number,
  retryAfterMs: number | undefined,
  now: Moment,
): Refusal {
  return {
    code: REFUSED_AS[bucket.limit.kind],
    binding: bindingOf(bucket, remaining, retryAfterMs, now),
    retryAfterMs,
  };
}

/** A bucket as an answer shows it. */
export function bindingOf(
  { limit, windowEndMs }: LocalBucket,
  remaining: number,
  retryAfterMs: number | undefined,
  now: Moment,
): BindingLimit {
  const resetsAtMs = windowEndMs ?? (retryAfterMs === undefined ? undefined : now.wallMs + retryAfterMs);
  return { limit, remaining, resetsAtMs };
}

/** With what is left by now: what was in hand when metering was asked, another call may have spent. */
export function asOfNow(refusal: Refusal, now: Moment): Refusal {
  const { refusedBy, binding } = refusal;
  if (refusedBy === undefined || binding === undefined) return refusal;
  const spent = refusedBy.held - refusedBy.bucket.left(now);
  return spent === 0
    ? refusal
    : { ...refusal, binding: { ...binding, remaining: binding.remaining - spent } };
}

/**
 * Whether it refuses what the call asks for now. The units of asks that travelled together arrive together: what refused
 * one may be in hand by now. And a call may cost a micro less than when it asked: another has paid what was carried.
 */
export function stands({ refusedBy }: Refusal, ask: PendingAsk, now: Moment): boolean {
  if (refusedBy === undefined) return true;
  const { bucket, held, units } = refusedBy;
  return bucket.left(now) <= held && unitsOf(ask, bucket) >= units;
}
