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
  /** The part of the bucket of a limit above that is kept for this one's node. */
  readonly reserved?: { readonly share: number; readonly of: string } | undefined;
  /** Who has such a part of this one's bucket; of quotas that refuse. */
  readonly shares?: readonly ReservedShare[] | undefined;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

/** A part of a quota's bucket that is kept for the calls of one node and of what is below it. */
export interface ReservedShare {
  readonly nodeId: string;
  /** Above 0, at most 1. */
  readonly share: number;
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

/** The most units that calls can ever have of a limit at once; see `asPart`. */
export function capacityOf({ id, allowance, shares = [] }: Limit): number {
  if (allowance.kind === "RATE") return allowance.burst;
  const others = shares.filter(({ nodeId }) => partOf(limitIdOf(id), nodeId) !== id);
  return others.reduce((units, share) => units - keptUnits(share, allowance.units), allowance.units);
}

/** Whole units: what is left over is everybody's. */
export function keptUnits({ share }: ReservedShare, capacity: number): number {
  return Math.floor(share * capacity);
}

/** What leases of a limit are called that are for the calls of a node with a share, and for all others. */
export function partOf(limitId: string, nodeId: string): string {
  return nodeId === "" ? limitId : `${limitId}${PART}${nodeId}`;
}

/** The limit that a part is of. */
export function limitIdOf(part: string): string {
  return part.split(PART, 1)[0]!;
}

/** The limit under the name that leases have which the calls of these nodes can use. */
export function asPart(limit: Limit, nodeIds: readonly string[]): Limit {
  const share = limit.shares?.find(({ nodeId }) => nodeIds.includes(nodeId));
  return share === undefined ? limit : { ...limit, id: partOf(limitIdOf(limit.id), share.nodeId) };
}

/** In no id. */
const PART = "@";

/** How many can have a share of one bucket. */
export const MAX_SHARES = 50;

/** The meter that exists without being declared. */
export const REQUESTS = "requests";

/** Limits set on one node, beside those of its plan: a call is charged to every one of them. */
export const MAX_LIMITS_PER_NODE = 50;

/** Patterns are few and asked about at every acquire; past this many the cache starts over. */
const MAX_COMPILED = 10_000;
const compiled = new Map<string, Grant>();

/** Does the limit count calls to this resource? */
export function countsResource(limit: Pick<LimitTerms, "resource">, resource: string): boolean {
  return matchesPattern(limit.resource, resource);
}

/** Does the pattern of a limit or a price match the resource of a call? One without a resource meets only those without a pattern. */
export function matchesPattern(pattern: string, resource: string): boolean {
  return pattern === "" || (resource !== "" && compiledPattern(pattern).allows(resource));
}

function compiledPattern(pattern: string): Grant {
  let grant = compiled.get(pattern);
  if (grant === undefined) {
    if (compiled.size >= MAX_COMPILED) compiled.clear();
    grant = compileGrant({ roles: [], scopes: [pattern] });
    compiled.set(pattern, grant);
  }
  return grant;
}
