import { globSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { permissionsPath, permissionTable, type RpcRule, rpcRules } from "../../scripts/permission-table.ts";
import { repositoryRoot, textOf } from "./repository.ts";

/** A living key may always ask who it is. */
const NEEDS_NO_SCOPE = ["gatehouse.identity.v1.KeyService/WhoAmI"];
/** What it takes is in the request. */
const TAKES_NO_KEY = ["gatehouse.identity.v1.MemberService/AcceptInvitation"];
const SCOPE = /^gatehouse\.([a-z][a-z-]*\.[a-z][a-z-]*|verify)$/;

function offences(rules: readonly RpcRule[]): string[] {
  return rules.flatMap(({ service, rpc, caller, scope }) => {
    const name = `${service}/${rpc}`;
    switch (caller) {
      case "UNSPECIFIED":
        return [`${name} does not say who may call it`];
      case "SERVICE":
        return scope === "" ? [] : [`${name} is called by services, which hold no scopes`];
      case "ANYONE":
        return scope === "" && TAKES_NO_KEY.includes(name) ? [] : [`${name} lets anyone in`];
      default:
        return SCOPE.test(scope) || (scope === "" && NEEDS_NO_SCOPE.includes(name))
          ? []
          : [`${name} needs a scope gatehouse.<noun>.<verb>, not "${scope}"`];
    }
  });
}

describe("every RPC says who may call it", async () => {
  const rules = await rpcRules();

  test("in all protos", () => {
    const protos = globSync("proto/**/*.proto", { cwd: repositoryRoot }).map(textOf).join("\n");
    expect(rules).toHaveLength(protos.match(/^ +rpc /gm)!.length);
    expect(offences(rules)).toEqual([]);
  });

  const access = { caller: "KEY", scope: "gatehouse.keys.create", beforeTerms: false } as const;
  const rule: RpcRule = { service: "s.v1.S", rpc: "Do", ...access };
  test.each<RpcRule>([
    { ...rule, caller: "UNSPECIFIED" },
    { ...rule, scope: "" },
    { ...rule, caller: "PROVIDER", scope: "" },
    { ...rule, scope: "keys.create" },
    { ...rule, scope: "gatehouse.keys" },
    { ...rule, scope: "gatehouse.keys.*" },
    { ...rule, caller: "SERVICE" },
    { ...rule, caller: "ANYONE", scope: "" },
  ])("and $caller with %o is an offence", (offence) => {
    expect(offences([rule, offence])).toHaveLength(1);
  });

  test("the permission table is what npm run generate writes", () => {
    expect(textOf(permissionsPath)).toBe(permissionTable(rules));
    expect(permissionTable(rules.slice(1))).not.toBe(permissionTable(rules));
  });
});
