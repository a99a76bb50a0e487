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
export const grantOfEndpoints = remembered((endpoints: readonly EndpointNode[]) =>
  grantOfList(endpoints.map(({ resource }) => resource)),
);

/** What a list of scopes allows that many keys share; nothing where this version cannot read it. */
export const grantOfList = remembered((scopes: readonly string[]) =>
  orNothing(() => compileGrant({ roles: [], scopes })),
);

type Chain = readonly AccountNode[];

/** What a key may do: its own grant within its endpoints, its parent key's, and every ceiling of its accounts. */
export function effectiveGrant({ key, parent, chain }: KeyView): Grant {
  const grants = [...grantsOf(key, chain)];
  if (parent !== undefined) grants.push(...grantsOf(parent, chain));
  grants.push(...ceilingsOf(chain));
  return grants.length === 1 ? grants[0]! : intersect(grants);
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
  const types = providerRulesOf(chain)?.types;
  const grants: Grant[] = [];
  for (const { scopeCeiling, type } of chain) {
    if (scopeCeiling.length > 0) grants.push(grantOfList(scopeCeiling));
    const ceiling = types?.get(type);
    if (ceiling !== undefined && ceiling.length > 0) grants.push(grantOfList(ceiling));
  }
  return grants;
}

function grantsOf(key: KeyNode, chain: Chain): Grant[] {
  const own = grantOf(key, chain);
  return key.endpoints.length === 0 ? [own] : [own, grantOfEndpoints(key.endpoints)];
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
