import { type AskedAllowance, allowanceFaults, type WindowKind } from "@gatehouse/buckets";
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
  /** 0: none. */
  readonly reservedShare?: number;
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

/** The terms of a draft, or everything that is wrong with it. Whether the meter exists is not asked here. */
export function readDraft(draft: LimitDraft): { terms: LimitTerms | undefined; violations: Violation[] } {
  const violations: Violation[] = [];
  const meter = draft.meter === "" ? REQUESTS : draft.meter;
  if (draft.resource !== "") violations.push(...patternViolations(draft.resource));
  if (draft.enforcement === "UNKNOWN") {
    violations.push({ field: "enforcement", description: "not known to this version" });
  }
  if (draft.reservedShare !== undefined) violations.push(...shareViolations(draft.reservedShare, draft));
  const allowance = readAllowance(draft, violations);
  if (violations.length > 0 || allowance === undefined) return { terms: undefined, violations };
  const enforcement = draft.enforcement as Enforcement;
  return { terms: { meter, resource: draft.resource, allowance, enforcement }, violations };
}

function readAllowance(draft: LimitDraft, violations: Violation[]): LimitTerms["allowance"] | undefined {
  const asked = askedOf(draft);
  if (asked === undefined) {
    violations.push({ field: "rate", description: "a limit has a rate or a quota" });
    return undefined;
  }
  violations.push(...allowanceFaults(asked));
  return asked.kind === "RATE" || asked.window !== undefined ? (asked as LimitTerms["allowance"]) : undefined;
}

function askedOf({ rate, quota }: LimitDraft): AskedAllowance | undefined {
  if (rate !== undefined) {
    const { units, intervalMs = 0, burst } = rate;
    return { kind: "RATE", units: Number(units), intervalMs, burst: Number(burst || units) };
  }
  return quota && { ...quota, kind: "QUOTA", units: Number(quota.units), timeZone: quota.timeZone || "UTC" };
}

function shareViolations(share: number, { quota }: LimitDraft): Violation[] {
  const wrong = (description: string) => [{ field: "reserved_share", description }];
  if (!(share >= 0 && share <= 1)) return wrong("must be 0 to 1");
  return share > 0 && quota === undefined ? wrong("is for quotas") : [];
}

/** What is wrong with a resource pattern that counts or prices calls. */
export function patternViolations(text: string): Violation[] {
  try {
    if (!parseScope(text).deny) return [];
    return [{ field: "resource", description: "the pattern does not begin with !" }];
  } catch (error) {
    if (!(error instanceof ScopeSyntaxError)) throw error;
    return [{ field: "resource", description: error.reason }];
  }
}
