import type { AccountNode } from "./node.ts";

/** The built-in roles and their scopes. A role's own denies bind only what the role itself allows. */
export const builtInRoles: ReadonlyMap<string, readonly string[]> = new Map([
  ["administrator", ["gatehouse.**", "!gatehouse.credits.**"]],
  ["fund-manager", ["gatehouse.credits.**"]],
  ["developer", ["**", "!gatehouse.**"]],
  ["auditor", ["gatehouse.*.read"]],
]);

/**
 * What a role stands for on keys of an account: a built-in one, else that of the nearest account that defines the
 * name. Undefined where nobody does; a key that has it is left without it.
 */
export function scopesOfRole(
  role: string,
  chain: readonly Pick<AccountNode, "roles">[],
): readonly string[] | undefined {
  const builtIn = builtInRoles.get(role);
  if (builtIn !== undefined) return builtIn;
  for (const account of chain) {
    const scopes = account.roles.get(role);
    if (scopes !== undefined) return scopes;
  }
  return undefined;
}
