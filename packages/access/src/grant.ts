import { compileGrant, type Grant, intersect, parseScopeList, ScopeSyntaxError } from "@gatehouse/scopes";
import type { AccountNode, EndpointNode, KeyNode, KeyView } from "./node.ts";
import { providerRulesOf } from "./node.ts";
import { remembered } from "./remembered.ts";
import { builtInRoles, scopesOfRole } from "./role.ts";

/*
 * Nodes are immutable, and so are the lists in them: what a list compiles to is kept beside it, once for all the keys
 * that share it. What hangs on several nodes, the roles that accounts define, is compiled by whoever asks, who can tell
 * when one of them changed.
 */
const grantsOfBuiltIn = remembered((roles: readonly string[]) =>
  remembered((scopes: readonly string[]) => compileOrNothing({ roles, scopes }, [])),
);
const listOfRole = remembered(parseScopeList);
/** What a key that is held to endpoints may touch at most. */
const grantOfEndpoints = remembered((endpoints: readonly EndpointNode[]) =>
  grantOfList(endpoints.map(({ resource }) => resource)),
);

/** What a list of scopes allows that many keys share; nothing where this version cannot read it. */
export const grantOfList = remembered((scopes: readonly string[]) =>
  orNothing(() => compileGrant({ roles: [], scopes })),
);

/** One of the things that must all allow a resource, and what lays it down. */
export interface GrantLevel {
  /** KEY: roles and scopes. ENDPOINTS: what a key is held to. CEILING: an account's own. TYPE: that of its type. */
  readonly of: "KEY" | "ENDPOINTS" | "CEILING" | "TYPE";
  /** The key or account. */
  readonly nodeId: string;
  /** The names of a key's roles; the name of a type. */
  readonly names: readonly string[];
  readonly grant: Grant;
}

type Chain = readonly AccountNode[];

/** What a key may do: its own grant within its endpoints, its parent key's, and every ceiling of its accounts. */
export function effectiveGrant(view: KeyView): Grant {
  const grants = levelsOf(view, view.chain).map(({ grant }) => grant);
  return grants.length === 1 ? grants[0]! : intersect(grants);
}

/**
 * What {@link effectiveGrant} is the intersection of, each by its name. With `target`, the ceilings of the account acted
 * on as well.
 */
export function levelsOf({ key, parent, chain }: KeyView, target: Chain): GrantLevel[] {
  const levels = keyLevels(key, chain);
  if (parent !== undefined) levels.push(...keyLevels(parent, chain));
  levels.push(...ceilingLevels(chain));
  if (target !== chain) levels.push(...ceilingLevels(target));
  return levels;
}

/**
 * What a key's own roles and scopes allow, before anything else subtracts. A role that no longer exists allows
 * nothing, nor does a key with a scope that this version cannot read: it may be a deny.
 */
export function grantOf(key: KeyNode, chain: Chain): Grant {
  const builtIn = key.roles.every((role) => builtInRoles.has(role));
  return builtIn ? grantsOfBuiltIn(key.roles)(key.scopes) : compileOrNothing(key, chain);
}

/**
 * What the accounts of a chain and their types let through. A ceiling that this version cannot read lets nothing
 * through.
 */
export function ceilingsOf(chain: Chain): Grant[] {
  return ceilingLevels(chain).map(({ grant }) => grant);
}

function keyLevels(key: KeyNode, chain: Chain): GrantLevel[] {
  const own: GrantLevel = { of: "KEY", nodeId: key.id, names: key.roles, grant: grantOf(key, chain) };
  if (key.endpoints.length === 0) return [own];
  return [own, { of: "ENDPOINTS", nodeId: key.id, names: NOTHING, grant: grantOfEndpoints(key.endpoints) }];
}

function ceilingLevels(chain: Chain): GrantLevel[] {
  const types = providerRulesOf(chain)?.types;
  const levels: GrantLevel[] = [];
  for (const { id, scopeCeiling, type } of chain) {
    if (scopeCeiling.length > 0) {
      levels.push({ of: "CEILING", nodeId: id, names: NOTHING, grant: grantOfList(scopeCeiling) });
    }
    const ofType = types?.get(type) ?? NOTHING;
    if (ofType.length > 0) levels.push({ of: "TYPE", nodeId: id, names: [type], grant: grantOfList(ofType) });
  }
  return levels;
}

// Not thrown: nodes come by the feed, and one that a newer version wrote must stop its key, not the follower.
function compileOrNothing({ roles, scopes }: Pick<KeyNode, "roles" | "scopes">, chain: Chain): Grant {
  return orNothing(() =>
    compileGrant({ roles: roles.map((role) => listOfRole(scopesOfRole(role, chain) ?? NOTHING)), scopes }),
  );
}

const NOTHING: readonly string[] = [];

function orNothing(compile: () => Grant): Grant {
  try {
    return compile();
  } catch (error) {
    if (!(error instanceof ScopeSyntaxError)) throw error;
    return compileGrant({ roles: [], scopes: [] });
  }
}
