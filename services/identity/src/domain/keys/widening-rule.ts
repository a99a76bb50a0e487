import { grantOf, type Principal } from "@gatehouse/access";
import { compileGrant, covers, type Grant, intersect } from "@gatehouse/scopes";
import { digestOf } from "../digest.ts";
import { CONTROL_PLANE, requireCovered } from "../rules/grant-rule.ts";
import type { Key, KeyInTree } from "./key.ts";

/**
 * Throws Failure GRANT_EXCEEDS_HOLDER where an update lets a key do anything to Gatehouse, or do it from anywhere, at
 * any time, unnoticed or again, that it could not before, and it then holds control-plane scopes that the caller does
 * not. Who only takes away needs none of them.
 */
export function requireMayWiden(caller: Principal, before: KeyInTree, after: KeyInTree): void {
  if (widens(before, after)) requireCovered(caller, after);
}

function widens(before: KeyInTree, after: KeyInTree): boolean {
  return (
    widensGrant(before, after) ||
    !isWithinAddresses(before.key, after.key) ||
    !before.key.deniedIntegrations.every((name) => after.key.deniedIntegrations.includes(name)) ||
    (after.key.notBeforeMs ?? 0) < (before.key.notBeforeMs ?? 0) ||
    isLonger(before.key.expiresAtMs, after.key.expiresAtMs) ||
    isLonger(before.key.heartbeatTimeoutMs, after.key.heartbeatTimeoutMs) ||
    (before.key.signing?.strictReplay === true && after.key.signing?.strictReplay !== true)
  );
}

/** Times without a value are endless. */
function isLonger(before = Number.POSITIVE_INFINITY, after = Number.POSITIVE_INFINITY): boolean {
  return after > before;
}

// Whether a list covers another is answered cautiously: of a list and itself it is not asked.
function widensGrant(before: KeyInTree, after: KeyInTree): boolean {
  const given = ({ key: { roles, scopes, endpoints } }: KeyInTree) => digestOf([roles, scopes, endpoints]);
  return given(before) !== given(after) && !covers(ownGrant(before), ownGrant(after), CONTROL_PLANE);
}

function ownGrant({ key, chain }: KeyInTree): Grant {
  const own = grantOf(key, chain);
  if (key.endpoints.length === 0) return own;
  const scopes = key.endpoints.map(({ resource }) => resource);
  return intersect([own, compileGrant({ roles: [], scopes })]);
}

// By the ranges' spelling, not by arithmetic: what cannot be seen to be narrower counts as wider.
function isWithinAddresses(before: Key, after: Key): boolean {
  const allowed =
    before.ipAllow.length === 0 ||
    (after.ipAllow.length > 0 && after.ipAllow.every((range) => before.ipAllow.includes(range)));
  return allowed && before.ipDeny.every((range) => after.ipDeny.includes(range));
}
