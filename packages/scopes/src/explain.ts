import type { Admission, Grant, Level } from "./grant.ts";
import { matches } from "./pattern.ts";
import { parseResource, type Scope } from "./scope.ts";

/** What one level said, and the scope that made it say so. */
export interface LevelExplanation {
  readonly allowed: boolean;
  /**
   * ALLOWED: `scope` matched. EVERYTHING_BUT: the list has only denies, none matched. DENIED: the deny `scope`
   * matched. UNMATCHED: no scope of any list matched.
   */
  readonly outcome: "ALLOWED" | "EVERYTHING_BUT" | "DENIED" | "UNMATCHED";
  /** The list that decided; undefined when none matched. */
  readonly list: "OWN" | "ROLE" | undefined;
  /** The deciding role's place in the grant's roles. */
  readonly role: number | undefined;
  /** The deciding scope as it was written. */
  readonly scope: string | undefined;
}

/** Plain data. `levels` is in the order of the grants; an intersection contributes each of its parts. */
export interface Explanation {
  readonly allowed: boolean;
  readonly levels: readonly LevelExplanation[];
}

/** Why the grants together allow or refuse a resource. Throws `ScopeSyntaxError` for a malformed resource. */
export function explain(grants: readonly Grant[], resource: string): Explanation {
  parseResource(resource);
  const levels = grants.flatMap((grant) => grant.levels.map((level) => explainLevel(level, resource)));
  return { allowed: levels.every(({ allowed }) => allowed), levels };
}

function explainLevel(level: Level, resource: string): LevelExplanation {
  const denial = firstMatch(level.denies, resource);
  if (denial !== undefined) return decided("DENIED", undefined, denial);
  const verdicts = level.admissions.map((admission) => explainAdmission(admission, resource));
  return (
    verdicts.find((verdict) => verdict?.allowed) ??
    verdicts.find((verdict) => verdict !== undefined) ??
    UNMATCHED
  );
}

function explainAdmission(admission: Admission, resource: string): LevelExplanation | undefined {
  const allow = admission.allows && firstMatch(admission.allows, resource);
  if (admission.allows !== undefined && allow === undefined) return undefined;
  const denial = firstMatch(admission.denies, resource);
  if (denial !== undefined) return decided("DENIED", admission.role, denial);
  return decided(allow === undefined ? "EVERYTHING_BUT" : "ALLOWED", admission.role, allow);
}

function decided(
  outcome: LevelExplanation["outcome"],
  role: number | undefined,
  scope: Scope | undefined,
): LevelExplanation {
  const list = role === undefined ? "OWN" : "ROLE";
  return { allowed: outcome !== "DENIED", outcome, list, role, scope: scope?.text };
}

const UNMATCHED: LevelExplanation = {
  allowed: false,
  outcome: "UNMATCHED",
  list: undefined,
  role: undefined,
  scope: undefined,
};

function firstMatch(scopes: readonly Scope[], resource: string): Scope | undefined {
  return scopes.find((scope) => matches(scope, resource));
}
