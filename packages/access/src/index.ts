export { AddressList, canonicalRange, isAddressAllowed, isAddressBound } from "./address.ts";
export {
  AUDIT_ACTION,
  type AuditAttempt,
  type AuditEvent,
  type AuditFilter,
  type AuditPage,
  type AuditPlace,
  type AuditReads,
  type AuditStretch,
  type EventFilter,
  isRefusal,
} from "./audit.ts";
export {
  type ApiNode,
  Catalog,
  type CatalogConflict,
  conflictsIn,
  type EndpointTemplate,
  HTTP_METHOD,
  isPlainPath,
  templateProblem,
} from "./catalog.ts";
export { keyNamedBy } from "./certificate.ts";
export { addressOfCall, clientAddress, isAddress } from "./client-address.ts";
export { isEndpointAllowed } from "./endpoint.ts";
export { ceilingsOf, effectiveGrant, type GrantLevel, grantOf, levelsOf } from "./grant.ts";
export { integrationName, isIntegrationAllowed } from "./integration.ts";
export { METER_NAME } from "./meter.ts";
export { MissBudget, UNKNOWN_HASHES } from "./miss-budget.ts";
export {
  type AccountNode,
  type AccountStatus,
  type EndpointNode,
  type KeyKind,
  type KeyNode,
  type KeyStatus,
  type KeyView,
  type ProviderRules,
  providerRulesOf,
  type RetiringHash,
  type SigningAlgorithm,
  type SigningNode,
  type TermsNode,
  type VerificationKey,
} from "./node.ts";
export {
  authenticate,
  type Directory,
  isCredential,
  type Principal,
  principalOf,
  secretMatches,
} from "./principal.ts";
export { isInSubtree, isProvider, isStrictAncestor, reaches } from "./reach.ts";
export { MAX_REFUSALS } from "./refusal-budget.ts";
export { RefusalRecord } from "./refusal-record.ts";
export { refusedTarget } from "./refused-target.ts";
export { builtInRoles, scopesOfRole } from "./role.ts";
export { SLUG_PATTERN } from "./slug.ts";
export { type KeyState, stateOf, stateOfChain } from "./state.ts";
export { termsRequired } from "./terms.ts";
