import type { Grant } from "@gatehouse/scopes";
import { grantOf, grantOfEndpoints, grantOfList } from "./grant.ts";
import { type AccountNode, type KeyNode, type KeyView, providerRulesOf } from "./node.ts";

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

/**
 * What {@link effectiveGrant} is the intersection of, each by its name, for people who ask why. With `target`, the
 * ceilings of the account acted on as well.
 */
export function levelsOf({ key, parent, chain }: KeyView, target: readonly AccountNode[]): GrantLevel[] {
  return [
    ...keyLevels(key, chain),
    ...(parent === undefined ? [] : keyLevels(parent, chain)),
    ...ceilingLevels(chain),
    ...(target === chain ? [] : ceilingLevels(target)),
  ];
}

function keyLevels(key: KeyNode, chain: readonly AccountNode[]): GrantLevel[] {
  const own: GrantLevel = { of: "KEY", nodeId: key.id, names: key.roles, grant: grantOf(key, chain) };
  if (key.endpoints.length === 0) return [own];
  return [own, { of: "ENDPOINTS", nodeId: key.id, names: [], grant: grantOfEndpoints(key.endpoints) }];
}

function ceilingLevels(chain: readonly AccountNode[]): GrantLevel[] {
  const types = providerRulesOf(chain)?.types;
  return chain.flatMap(({ id, scopeCeiling, type }): GrantLevel[] => {
    const ofType = types?.get(type) ?? [];
    return [
      ...(scopeCeiling.length === 0
        ? []
        : [{ of: "CEILING" as const, nodeId: id, names: [], grant: grantOfList(scopeCeiling) }]),
      ...(ofType.length === 0
        ? []
        : [{ of: "TYPE" as const, nodeId: id, names: [type], grant: grantOfList(ofType) }]),
    ];
  });
}
