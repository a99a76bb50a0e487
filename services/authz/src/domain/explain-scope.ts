import { type GrantLevel, isEndpointAllowed, levelsOf } from "@gatehouse/access";
import { explain, type LevelExplanation } from "@gatehouse/scopes";
import type { AccountEntry, KeyEntry } from "./entry.ts";
import type { Sight } from "./sight.ts";

/** What was found out about one check. */
export interface Finding {
  readonly nodeId: string | undefined;
  readonly detail: string;
}

/** A call as its scope is checked. */
export interface ScopeQuestion {
  readonly entry: KeyEntry;
  readonly target: readonly AccountEntry[];
  readonly resource: string;
  readonly http: { readonly method: string; readonly path: string } | undefined;
  /** The endpoint that an HTTP call is to. */
  readonly endpointName: string | undefined;
  readonly sight: Sight;
}

/** Of a key that much hangs on; the nearest come first. */
const MAX_LEVELS = 12;

/** Which rule allowed, of each list that has a say and is in sight. */
export function allowedBy({ entry, target, resource, endpointName, sight }: ScopeQuestion): Finding {
  const seen = levelsOf(entry, target).filter(({ nodeId }) => sight.sees(nodeId));
  const said = seen.slice(0, MAX_LEVELS).map((level) => {
    return `${sight.nameOf(level.nodeId)}: ${verdictOf(level, saidOf(level, resource), resource)}`;
  });
  const to = endpointName === undefined ? [] : [`the call is to the endpoint ${endpointName}`];
  return { nodeId: entry.key.id, detail: [...to, ...said].join("; ") };
}

/** What stood in the way: the endpoint, or the first of the lists that must all allow. */
export function deniedBy(question: ScopeQuestion): Finding {
  const { entry, target, resource, http, endpointName, sight } = question;
  if (http !== undefined && endpointName === undefined) {
    return {
      nodeId: undefined,
      detail: `${http.method} to this path is to no endpoint of the catalog, or to be read in two ways`,
    };
  }
  if (endpointName !== undefined && !isEndpointAllowed(entry, endpointName)) {
    const holder = isEndpointAllowed({ key: entry.key, parent: undefined }, endpointName)
      ? entry.parent!
      : entry.key;
    const held = `${sight.nameOf(holder.id)} is held to other endpoints than ${endpointName}`;
    return { nodeId: holder.id, detail: held };
  }
  for (const level of levelsOf(entry, target)) {
    const said = saidOf(level, resource);
    if (said.allowed) continue;
    const nodeId = sight.idOf(level.nodeId);
    // What an account above lays down is not the verifier's to read.
    if (nodeId === undefined)
      return { nodeId, detail: `the ceiling of ${sight.nameOf(level.nodeId)} denies ${resource}` };
    return { nodeId, detail: `${sight.nameOf(nodeId)}: ${verdictOf(level, said, resource)}` };
  }
  return { nodeId: entry.key.id, detail: `${resource} is outside what the key may touch` };
}

function saidOf({ grant }: GrantLevel, resource: string): LevelExplanation {
  return explain([grant], resource).levels[0]!;
}

function verdictOf(level: GrantLevel, said: LevelExplanation, resource: string): string {
  const list = listOf(level, said);
  switch (said.outcome) {
    case "ALLOWED":
      return `${resource} is allowed by ${said.scope} in ${list}`;
    case "EVERYTHING_BUT":
      return `${resource} is allowed by ${list}, which deny other things only`;
    case "DENIED":
      return `${resource} is denied by ${said.scope} in ${list}`;
    case "UNMATCHED":
      return `nothing in ${list} allows ${resource}`;
  }
}

function listOf({ of, names }: GrantLevel, { list, role }: LevelExplanation): string {
  switch (of) {
    case "ENDPOINTS":
      return "the endpoints that it is held to";
    case "CEILING":
      return "the scopes of its ceiling";
    case "TYPE":
      return `the scopes of its type ${names[0]}`;
    case "KEY":
      if (list === undefined) return "its roles and scopes";
      return list === "ROLE" ? `the scopes of its role ${names[role!]}` : "its own scopes";
  }
}
