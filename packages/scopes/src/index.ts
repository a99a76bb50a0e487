export { covers, MAX_COVER_STEPS } from "./covers.ts";
export { type Explanation, explain, type LevelExplanation } from "./explain.ts";
export { compileGrant, type GivenScopes, type Grant, intersect, MAX_ROLES } from "./grant.ts";
export {
  isResource,
  MAX_SCOPE_LENGTH,
  MAX_SEGMENT_LENGTH,
  MAX_SEGMENTS,
  parseResource,
  parseScope,
  type Resource,
  type Scope,
} from "./scope.ts";
export { MAX_SCOPES, parseScopeList, type ScopeList, scopeListErrors } from "./scope-list.ts";
export { ScopeSyntaxError } from "./scope-syntax-error.ts";
