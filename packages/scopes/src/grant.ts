import type { PatternSet } from "./pattern-set.ts";
import { isResource, type Scope } from "./scope.ts";
import { parseScopeList, ScopeList } from "./scope-list.ts";
import { ScopeSyntaxError } from "./scope-syntax-error.ts";

/** Roles of one grant; with `MAX_SCOPES` it bounds what one level can cost. */
export const MAX_ROLES = 50;

/** What one node, a key or an account's ceiling, is given: each role's list, and the node's own. */
export interface GivenScopes {
  readonly roles: readonly (readonly string[] | ScopeList)[];
  readonly scopes: readonly string[] | ScopeList;
}

/** One way a level lets a resource in: allows, or everything when undefined, minus the same list's denies. */
export interface Admission {
  readonly allows: readonly Scope[] | undefined;
  readonly denies: readonly Scope[];
  readonly allowed: PatternSet | undefined;
  readonly denied: PatternSet | undefined;
  /** The role's place in `roles`; undefined for the own list. */
  readonly role: number | undefined;
}

/** One node's part of a grant: any admission lets in, the own denies then subtract from all of them. */
export interface Level {
  readonly admissions: readonly Admission[];
  readonly denies: readonly Scope[];
  readonly denied: PatternSet | undefined;
}

/** What a key may touch: the AND of its levels. */
export class Grant {
  readonly levels: readonly Level[];

  constructor(levels: readonly Level[]) {
    this.levels = levels;
  }

  /** False for anything that is not a well-formed resource, whatever the scopes say. */
  allows(resource: string): boolean {
    // A malformed name escapes every deny ("orders.cancel." is not "orders.cancel"): no "everything but" holds it.
    if (!isResource(resource)) return false;
    for (const level of this.levels) {
      if (!levelAllows(level, resource)) return false;
    }
    return true;
  }
}

/**
 * Compiles what one node is given. Roles are united with the own allows, then the own denies subtract. With roles
 * given, an own list of only denies only subtracts: read as "everything but" it would undo the roles.
 * Throws `ScopeSyntaxError`. Pass a `ScopeList` for lists that many grants share.
 */
export function compileGrant(given: GivenScopes): Grant {
  if (given.roles.length > MAX_ROLES) {
    throw new ScopeSyntaxError("", `list belongs to a grant of more than ${MAX_ROLES} roles`);
  }
  const own = listOf(given.scopes);
  const admissions = given.roles.map((role, index) => roleAdmission(listOf(role), index));
  if (own.allows.length > 0) admissions.push(ownAdmission(own));
  if (own.onlyDenies && given.roles.length === 0) admissions.push(EVERYTHING);
  return new Grant([
    { admissions, denies: own.denies, denied: own.denies.length > 0 ? own.denied : undefined },
  ]);
}

/** What all of the grants allow: a key, its parent key, ceilings. Of no grants: everything, as for any AND. */
export function intersect(grants: readonly Grant[]): Grant {
  const levels = grants.flatMap((grant) => grant.levels);
  // Copied to its length: a list that grew has room for more, and a replica holds a million grants.
  return new Grant(levels.slice());
}

const EVERYTHING: Admission = {
  allows: undefined,
  denies: [],
  allowed: undefined,
  denied: undefined,
  role: undefined,
};

function levelAllows(level: Level, resource: string): boolean {
  if (level.denied?.matches(resource)) return false;
  for (const { allowed, denied } of level.admissions) {
    if ((allowed === undefined || allowed.matches(resource)) && !denied?.matches(resource)) return true;
  }
  return false;
}

function roleAdmission(list: ScopeList, role: number): Admission {
  const { allows, denies, allowed, denied, onlyDenies } = list;
  return {
    allows: onlyDenies ? undefined : allows,
    denies,
    allowed: onlyDenies ? undefined : allowed,
    denied: denies.length > 0 ? denied : undefined,
    role,
  };
}

/** The own denies are the level's: they subtract from roles as well. */
function ownAdmission({ allows, allowed }: ScopeList): Admission {
  return { allows, denies: [], allowed, denied: undefined, role: undefined };
}

function listOf(list: readonly string[] | ScopeList): ScopeList {
  return list instanceof ScopeList ? list : parseScopeList(list);
}
