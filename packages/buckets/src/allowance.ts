/**
 * What a limit allows, and which of it can be kept: one rule for limits that are set and for those that come with a
 * plan.
 */

import type { RateSpec } from "./rate.ts";
import { isTimeZone, type WindowKind } from "./window.ts";

export interface RateAllowance extends RateSpec {
  readonly kind: "RATE";
}

export interface QuotaAllowance {
  readonly kind: "QUOTA";
  readonly units: number;
  readonly window: WindowKind;
  readonly timeZone: string;
  readonly anchorMs?: number | undefined;
}

/** An allowance as it was asked for: of a quota, no window is what was not given or is not known. */
export type AskedAllowance =
  | RateAllowance
  | (Omit<QuotaAllowance, "window"> & { readonly window: WindowKind | undefined });

/** One bad field: `rate.units`, and what it must be. */
export interface AllowanceFault {
  readonly field: string;
  readonly description: string;
}

const DAY_MS = 86_400_000;
/** The years that dates and zones are defined for, with room for a window around them. */
const MIN_ANCHOR_MS = Date.UTC(1970, 0, 1);
const MAX_ANCHOR_MS = Date.UTC(2200, 0, 1);

/** Everything that is wrong with an allowance; nothing, and it is a {@link RateAllowance} or {@link QuotaAllowance}. */
export function allowanceFaults(allowance: AskedAllowance): AllowanceFault[] {
  return allowance.kind === "RATE" ? rateFaults(allowance) : quotaFaults(allowance);
}

function rateFaults({ units, intervalMs, burst }: RateAllowance): AllowanceFault[] {
  const faults = [...unitsFaults("rate.units", units, 1), ...unitsFaults("rate.burst", burst, 0)];
  if (!Number.isInteger(intervalMs) || intervalMs < 1 || intervalMs > DAY_MS) {
    faults.push({ field: "rate.interval", description: "must be whole milliseconds, 1 ms to 24 h" });
  }
  return faults;
}

function quotaFaults({ units, window, timeZone, anchorMs }: AskedAllowance & { kind: "QUOTA" }) {
  const faults = unitsFaults("quota.units", units, 0);
  if (window === undefined) faults.push({ field: "quota.window", description: "must be a window" });
  if (!isTimeZone(timeZone)) {
    faults.push({ field: "quota.time_zone", description: "must be a time zone of the IANA database" });
  }
  if (anchorMs !== undefined && !isAnchor(anchorMs)) {
    faults.push({
      field: "quota.anchor",
      description: "must be whole milliseconds between the years 1970 and 2200",
    });
  }
  return faults;
}

function unitsFaults(field: string, units: number, least: number): AllowanceFault[] {
  if (Number.isSafeInteger(units) && units >= least) return [];
  return [{ field, description: `must be ${least} to ${Number.MAX_SAFE_INTEGER}` }];
}

function isAnchor(ms: number): boolean {
  return Number.isInteger(ms) && ms >= MIN_ANCHOR_MS && ms <= MAX_ANCHOR_MS;
}
