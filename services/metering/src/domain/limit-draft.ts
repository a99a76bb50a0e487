import { isTimeZone, type WindowKind } from "@gatehouse/buckets";
import { parseScope, ScopeSyntaxError } from "@gatehouse/scopes";
import type { Violation } from "@gatehouse/service/failure";
import { type Enforcement, type LimitTerms, REQUESTS } from "./limit.ts";

/** A limit as it was asked for: nothing in it is checked, and undefined is what was not given. */
export interface LimitDraft {
  readonly meter: string;
  readonly resource: string;
  readonly rate?: RateDraft | undefined;
  readonly quota?: QuotaDraft | undefined;
  /** `UNKNOWN` for what this version does not know. */
  readonly enforcement: Enforcement | "UNKNOWN";
}

export interface RateDraft {
  readonly units: bigint;
  readonly intervalMs: number | undefined;
  /** 0: as many as `units`. */
  readonly burst: bigint;
}

export interface QuotaDraft {
  readonly units: bigint;
  readonly window: WindowKind | undefined;
  /** Empty: UTC. */
  readonly timeZone: string;
  readonly anchorMs: number | undefined;
}

const MAX_UNITS = BigInt(Number.MAX_SAFE_INTEGER);
const DAY_MS = 86_400_000;
/** The years that dates and zones are defined for, with room for a window around them. */
const MIN_ANCHOR_MS = Date.UTC(1970, 0, 1);
const MAX_ANCHOR_MS = Date.UTC(2200, 0, 1);

/** The terms of a draft, or everything that is wrong with it. Whether the meter exists is not asked here. */
export function readDraft(draft: LimitDraft): { terms: LimitTerms | undefined; violations: Violation[] } {
  const violations: Violation[] = [];
  const meter = draft.meter === "" ? REQUESTS : draft.meter;
  if (draft.resource !== "") violations.push(...patternViolations(draft.resource));
  if (draft.enforcement === "UNKNOWN") {
    violations.push({ field: "enforcement", description: "not known to this version" });
  }
  const allowance = readAllowance(draft, violations);
  if (violations.length > 0 || allowance === undefined) return { terms: undefined, violations };
  const enforcement = draft.enforcement as Enforcement;
  return { terms: { meter, resource: draft.resource, allowance, enforcement }, violations };
}

function readAllowance(draft: LimitDraft, violations: Violation[]): LimitTerms["allowance"] | undefined {
  if (draft.rate !== undefined) return readRate(draft.rate, violations);
  if (draft.quota !== undefined) return readQuota(draft.quota, violations);
  violations.push({ field: "rate", description: "a limit has a rate or a quota" });
  return undefined;
}

function readRate({ units, intervalMs = 0, burst }: RateDraft, violations: Violation[]) {
  checkUnits("rate.units", units, 1n, violations);
  checkUnits("rate.burst", burst, 0n, violations);
  if (!Number.isInteger(intervalMs) || intervalMs < 1 || intervalMs > DAY_MS) {
    violations.push({ field: "rate.interval", description: "must be whole milliseconds, 1 ms to 24 h" });
  }
  return {
    kind: "RATE",
    units: Number(units),
    intervalMs,
    burst: Number(burst === 0n ? units : burst),
  } as const;
}

function readQuota({ units, window, timeZone, anchorMs }: QuotaDraft, violations: Violation[]) {
  checkUnits("quota.units", units, 0n, violations);
  if (window === undefined) violations.push({ field: "quota.window", description: "must be a window" });
  if (timeZone !== "" && !isTimeZone(timeZone)) {
    violations.push({ field: "quota.time_zone", description: "must be a time zone of the IANA database" });
  }
  if (anchorMs !== undefined && !isAnchor(anchorMs)) {
    violations.push({
      field: "quota.anchor",
      description: "must be whole milliseconds between the years 1970 and 2200",
    });
  }
  if (window === undefined) return undefined;
  return { kind: "QUOTA", units: Number(units), window, timeZone: timeZone || "UTC", anchorMs } as const;
}

function checkUnits(field: string, units: bigint, least: bigint, violations: Violation[]): void {
  if (units >= least && units <= MAX_UNITS) return;
  violations.push({ field, description: `must be ${least} to ${MAX_UNITS}` });
}

function isAnchor(ms: number): boolean {
  return Number.isInteger(ms) && ms >= MIN_ANCHOR_MS && ms <= MAX_ANCHOR_MS;
}

function patternViolations(text: string): Violation[] {
  try {
    if (!parseScope(text).deny) return [];
    return [{ field: "resource", description: "a limit's pattern does not begin with !" }];
  } catch (error) {
    if (!(error instanceof ScopeSyntaxError)) throw error;
    return [{ field: "resource", description: error.reason }];
  }
}
