import { compileGrant, type Grant } from "@gatehouse/scopes";

/** A limit as replicas know it. */
export interface Limit {
  readonly id: string;
  readonly nodeId: string;
  readonly meter: string;
  /** A resource pattern; empty counts every call. */
  readonly pattern: string;
  readonly kind: "rate" | "quota";
  /** WARN counts and warns, and never refuses. */
  readonly enforcement: "ENFORCE" | "WARN";
  /** What it allows in each window, for callers to pace themselves by: nothing is decided by it. */
  readonly units?: number;
  /** Undefined where windows differ in length, as months do. */
  readonly windowMs?: number | undefined;
}

/** Decides whether a limit counts a call. A call without a resource meets only limits without a pattern. */
export function patternMatcher(pattern: string): Grant | undefined {
  return pattern === "" ? undefined : compileGrant({ roles: [], scopes: [pattern] });
}
