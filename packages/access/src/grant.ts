import { compileGrant, type Grant, intersect, ScopeSyntaxError } from "@gatehouse/scopes";
import type { KeyNode, KeyView } from "./node.ts";
import { builtInRoles } from "./role.ts";

const compiled = new WeakMap<KeyNode, Grant>();

/**
 * What a key's own roles and scopes allow, before its parent key subtracts. Compiled once for each node;
 * nodes are immutable. A role that no longer exists allows nothing, nor does a key with a scope that this
 * version cannot read: it may be a deny.
 */
export function grantOf(key: KeyNode): Grant {
  let grant = compiled.get(key);
  if (grant === undefined) {
    grant = compileOrNothing(key);
    compiled.set(key, grant);
  }
  return grant;
}

/** What a key may do: its own grant within its parent key's. */
export function effectiveGrant(view: KeyView): Grant {
  return view.parent === undefined ? grantOf(view.key) : intersect([grantOf(view.key), grantOf(view.parent)]);
}

// Not thrown: nodes come by the feed, and one that a newer version wrote must stop its key, not the follower.
function compileOrNothing({ roles, scopes }: KeyNode): Grant {
  try {
    return compileGrant({ roles: roles.map((role) => builtInRoles.get(role) ?? []), scopes });
  } catch (error) {
    if (!(error instanceof ScopeSyntaxError)) throw error;
    return compileGrant({ roles: [], scopes: [] });
  }
}
