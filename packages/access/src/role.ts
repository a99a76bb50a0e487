/** The built-in roles and their scopes. A role's own denies bind only what the role itself allows. */
export const builtInRoles: ReadonlyMap<string, readonly string[]> = new Map([
  ["administrator", ["gatehouse.**", "!gatehouse.credits.**"]],
  ["fund-manager", ["gatehouse.credits.**"]],
  ["developer", ["**", "!gatehouse.**"]],
  ["auditor", ["gatehouse.*.read"]],
]);
