import { PatternSet } from "./pattern-set.ts";
import { parseScope, type Scope } from "./scope.ts";
import { ScopeSyntaxError } from "./scope-syntax-error.ts";

/** Scopes of one list: an API's worth of names, and still a page one person can read. */
export const MAX_SCOPES = 200;

/**
 * One list of scopes, compiled. Within it deny wins; a list of only denies means "everything but"; an empty one
 * allows nothing. Immutable: a role's list is parsed once and shared by every grant that has the role.
 */
export class ScopeList {
  readonly allows: readonly Scope[];
  readonly denies: readonly Scope[];
  readonly allowed: PatternSet;
  readonly denied: PatternSet;

  constructor(scopes: readonly Scope[]) {
    this.allows = scopes.filter(({ deny }) => !deny);
    this.denies = scopes.filter(({ deny }) => deny);
    this.allowed = new PatternSet(this.allows);
    this.denied = new PatternSet(this.denies);
  }

  /** Denies and nothing else: "everything but". */
  get onlyDenies(): boolean {
    return this.allows.length === 0 && this.denies.length > 0;
  }
}

/** Reads one list. Throws the first `ScopeSyntaxError`; `scopeListErrors` gives them all. */
export function parseScopeList(list: readonly string[]): ScopeList {
  checkLength(list);
  return new ScopeList(list.map((text, index) => parseScope(text, index)));
}

/** Everything wrong with a list, so that a refused request names every bad field at once; empty when it parses. */
export function scopeListErrors(list: readonly string[]): ScopeSyntaxError[] {
  const errors: ScopeSyntaxError[] = [];
  collect(errors, () => checkLength(list));
  for (const [index, text] of list.slice(0, MAX_SCOPES).entries()) {
    collect(errors, () => parseScope(text, index));
  }
  return errors;
}

function checkLength(list: readonly string[]): void {
  if (list.length <= MAX_SCOPES) return;
  throw new ScopeSyntaxError("", `list has ${list.length} scopes, more than ${MAX_SCOPES}`);
}

function collect(errors: ScopeSyntaxError[], check: () => void): void {
  try {
    check();
  } catch (error) {
    if (!(error instanceof ScopeSyntaxError)) throw error;
    errors.push(error);
  }
}
