import { compileGrant, type Grant } from "@gatehouse/scopes";

/** A limit as replicas know it. */
export interface Limit {
  readonly id: string;
  readonly nodeId: string;
  /** Empty for a wallet. */
  readonly meter: string;
  /** A resource pattern; empty counts every call. */
  readonly pattern: string;
  readonly kind: "rate" | "quota" | "wallet";
  /** WARN counts and warns, and never refuses. */
  readonly enforcement: "ENFORCE" | "WARN";
  /** Nodes that a share of it is kept for: calls that are charged to one draw on a part of their own. */
  readonly reservedFor?: readonly string[];
  /** What it allows in each window, for callers to pace themselves by: nothing is decided by it. */
  readonly units?: number;
  /** Undefined where windows differ in length, as months do. */
  readonly windowMs?: number | undefined;
  /** Of a wallet, whose units are millionths of it. */
  readonly currency?: string;
}

/** An account's wallet: prepaid credits in one currency, as a bucket that calls of its payer draw on. */
export function walletLimit(id: string, accountId: string, currency: string): Limit {
  return { id, nodeId: accountId, meter: "", pattern: "", kind: "wallet", enforcement: "ENFORCE", currency };
}

/** Decides whether a limit counts a call. A call without a resource meets only limits without a pattern. */
export function patternMatcher(pattern: string): Grant | undefined {
  return pattern === "" ? undefined : compileGrant({ roles: [], scopes: [pattern] });
}
