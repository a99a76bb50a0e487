export { effectiveGrant, grantOf } from "./grant.ts";
export { METER_NAME } from "./meter.ts";
export type { AccountNode, AccountStatus, KeyKind, KeyNode, KeyStatus, KeyView } from "./node.ts";
export { authenticate, type Directory, type Principal, principalOf, secretMatches } from "./principal.ts";
export { isProvider, isStrictAncestor, reaches } from "./reach.ts";
export { builtInRoles } from "./role.ts";
export { type KeyState, stateOf, stateOfChain } from "./state.ts";
