import type { QuotaAllowance, RateAllowance } from "@gatehouse/buckets";
import { compileGrant, type Grant } from "@gatehouse/scopes";

export type Enforcement = "ENFORCE" | "WARN";

/** What a limit is on. */
export interface NodeRef {
  readonly kind: "ACCOUNT" | "KEY";
  readonly id: string;
}

export type { QuotaAllowance, RateAllowance };

/** What a limit says, apart from where it is. Units are safe integers. */
export interface LimitTerms {
  readonly meter: string;
  /** A pattern; empty counts every call. */
  readonly resource: string;
  readonly allowance: RateAllowance | QuotaAllowance;
  readonly enforcement: Enforcement;
}

/** An allowance on one node for one meter. */
export interface Limit extends LimitTerms {
  readonly id: string;
  readonly node: NodeRef;
  /** Set on the node, or a default of the organization's plan. */
  readonly source: "OWN" | "PLAN";
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

export type RateLimit = Limit & { readonly allowance: RateAllowance };
export type QuotaLimit = Limit & { readonly allowance: QuotaAllowance };

export function isRate(limit: Limit): limit is RateLimit {
  return limit.allowance.kind === "RATE";
}

export function isQuota(limit: Limit): limit is QuotaLimit {
  return limit.allowance.kind === "QUOTA";
}

/** What makes a limit the same limit on its node. */
export function identityOf({ meter, resource, allowance }: LimitTerms): string {
  const refill = allowance.kind === "RATE" ? allowance.intervalMs : allowance.window;
  return JSON.stringify([meter, resource, allowance.kind, refill]);
}

/** Whether less is allowed than before: what is lent already was lent for more. */
export function lowers(before: LimitTerms, after: LimitTerms): boolean {
  if (before.enforcement === "WARN" && after.enforcement === "ENFORCE") return true;
  if (after.allowance.units < before.allowance.units) return true;
  return (
    before.allowance.kind === "RATE" &&
    after.allowance.kind === "RATE" &&
    after.allowance.burst < before.allowance.burst
  );
}

/** The most units that a limit ever has at once. */
export function capacityOf({ allowance }: LimitTerms): number {
  return allowance.kind === "RATE" ? allowance.burst : allowance.units;
}

/** The meter that exists without being declared. */
export const REQUESTS = "requests";

/** Limits set on one node, beside those of its plan: a call is charged to every one of them. */
export const MAX_LIMITS_PER_NODE = 50;

/** Patterns are few and asked about at every acquire; past this many the cache starts over. */
const MAX_COMPILED = 10_000;
const compiled = new Map<string, Grant>();

/** Does the limit count calls to this resource? A call without one meets only limits without a pattern. */
export function countsResource(limit: Pick<LimitTerms, "resource">, resource: string): boolean {
  return limit.resource === "" || (resource !== "" && pattern(limit.resource).allows(resource));
}

function pattern(text: string): Grant {
  let grant = compiled.get(text);
  if (grant === undefined) {
    if (compiled.size >= MAX_COMPILED) compiled.clear();
    grant = compileGrant({ roles: [], scopes: [text] });
    compiled.set(text, grant);
  }
  return grant;
}
