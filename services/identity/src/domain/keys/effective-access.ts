import { type KeyState, providerRulesOf, scopesOfRole, stateOf } from "@gatehouse/access";
import type { Chain } from "../accounts/account.ts";
import type { Key, KeyInTree } from "./key.ts";

/** What a key can do when its parent key and the accounts above have their say, level by level. */
export interface EffectiveAccess {
  /** A resource is allowed where every one of them allows it. */
  readonly scopes: readonly ScopeLevel[];
  /** An address is allowed where every one of them allows it. */
  readonly addresses: readonly AddressLevel[];
  readonly notBeforeMs: number | undefined;
  readonly expiresAtMs: number | undefined;
  readonly state: KeyState;
}

/** What one node says about resources: a key, or an account by its ceiling or by that of its type. */
export interface ScopeLevel {
  readonly nodeId: string;
  /** Each with what it stands for now: nothing, where it is gone. */
  readonly roles: readonly { readonly role: string; readonly scopes: readonly string[] }[];
  readonly scopes: readonly string[];
  /** A key without any is held to none. */
  readonly endpointResources: readonly string[];
  /** Empty for what a node says itself. */
  readonly type: string;
}

/** What one key says about addresses. */
export interface AddressLevel {
  readonly keyId: string;
  readonly ipAllow: readonly string[];
  readonly ipDeny: readonly string[];
}

/** The same that `effectiveGrant`, `isAddressAllowed` and `stateOf` decide by, for people to see why. */
export function effectiveAccess(view: KeyInTree, nowMs: number): EffectiveAccess {
  const { key, parent, chain } = view;
  const keys = parent === undefined ? [key] : [key, parent];
  return {
    scopes: [...keys.map((each) => levelOfKey(each, chain)), ...levelsOfAccounts(chain)],
    addresses: keys.flatMap(({ id: keyId, ipAllow, ipDeny }) =>
      ipAllow.length === 0 && ipDeny.length === 0 ? [] : [{ keyId, ipAllow, ipDeny }],
    ),
    notBeforeMs: latest(keys.map(({ notBeforeMs }) => notBeforeMs)),
    expiresAtMs: earliest(keys.map(({ expiresAtMs }) => expiresAtMs)),
    state: stateOf(view, nowMs),
  };
}

function levelOfKey({ id, roles, scopes, endpoints }: Key, chain: Chain): ScopeLevel {
  return {
    nodeId: id,
    roles: roles.map((role) => ({ role, scopes: scopesOfRole(role, chain) ?? [] })),
    scopes,
    endpointResources: endpoints.map(({ resource }) => resource),
    type: "",
  };
}

function levelsOfAccounts(chain: Chain): ScopeLevel[] {
  const types = providerRulesOf(chain)?.types;
  return chain.flatMap(({ id: nodeId, scopeCeiling, type }) => {
    const ofType = types?.get(type) ?? [];
    return [
      ...(scopeCeiling.length === 0 ? [] : [ceiling(nodeId, scopeCeiling, "")]),
      ...(ofType.length === 0 ? [] : [ceiling(nodeId, ofType, type)]),
    ];
  });
}

function ceiling(nodeId: string, scopes: readonly string[], type: string): ScopeLevel {
  return { nodeId, roles: [], scopes, endpointResources: [], type };
}

function latest(times: readonly (number | undefined)[]): number | undefined {
  const said = times.filter((time) => time !== undefined);
  return said.length === 0 ? undefined : Math.max(...said);
}

function earliest(times: readonly (number | undefined)[]): number | undefined {
  const said = times.filter((time) => time !== undefined);
  return said.length === 0 ? undefined : Math.min(...said);
}
