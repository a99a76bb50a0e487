import { describe, expect, it } from "vitest";
import { accountOf, keyOf, organization, root, subaccount, viewOf } from "../test/nodes.ts";
import { effectiveGrant, grantOf } from "./grant.ts";
import type { KeyView } from "./node.ts";

describe("what a key may do", () => {
  it("is what its roles allow, and what it allows itself", () => {
    const grant = grantOf(keyOf({ roles: ["fund-manager"], scopes: ["weather.read"] }), []);
    expect(grant.allows("gatehouse.credits.transfer")).toBe(true);
    expect(grant.allows("weather.read")).toBe(true);
    expect(grant.allows("weather.write")).toBe(false);
  });

  it("is less what it denies itself, from its roles too", () => {
    const grant = grantOf(keyOf({ roles: ["developer"], scopes: ["!orders.cancel"] }), []);
    expect(grant.allows("orders.create")).toBe(true);
    expect(grant.allows("orders.cancel")).toBe(false);
  });

  it("is no more than its parent key may do", () => {
    const key = keyOf({ scopes: ["**"] });
    const parent = keyOf({ id: "key_2", scopes: ["weather.**", "!weather.write"] });
    expect(effectiveGrant(viewOf({ key })).allows("orders.create")).toBe(true);
    const grant = effectiveGrant(viewOf({ key, parent }));
    expect(grant.allows("weather.read")).toBe(true);
    expect(grant.allows("weather.write")).toBe(false);
    expect(grant.allows("orders.create")).toBe(false);
  });

  it("is nothing without roles and scopes, and nothing by a role that is not there", () => {
    expect(grantOf(keyOf(), []).allows("weather.read")).toBe(false);
    expect(grantOf(keyOf({ roles: ["emperor", "__proto__"] }), []).allows("weather.read")).toBe(false);
  });

  it("keeps the built-in roles to what they are for", () => {
    const may = (role: string, scope: string) => grantOf(keyOf({ roles: [role] }), []).allows(scope);
    expect(may("administrator", "gatehouse.keys.create")).toBe(true);
    expect(may("administrator", "gatehouse.credits.transfer")).toBe(false);
    expect(may("administrator", "weather.read")).toBe(false);
    expect(may("developer", "weather.read")).toBe(true);
    expect(may("developer", "gatehouse.keys.read")).toBe(false);
    expect(may("auditor", "gatehouse.keys.read")).toBe(true);
    expect(may("auditor", "gatehouse.keys.create")).toBe(false);
  });

  it("is nothing where a scope cannot be read: it may be a deny", () => {
    expect(grantOf(keyOf({ scopes: ["**", "!weather.{read}"] }), []).allows("weather.read")).toBe(false);
  });

  it("is what the nearest account says that a role is", () => {
    const key = keyOf({ roles: ["trader"] });
    const above = accountOf({ roles: new Map([["trader", ["orders.**"]]]) });
    const below = accountOf({ ...subaccount, roles: new Map([["trader", ["orders.create"]]]) });
    const may = (chain: KeyView["chain"], scope: string) =>
      effectiveGrant(viewOf({ key, chain })).allows(scope);
    expect(may([subaccount, above, root], "orders.cancel")).toBe(true);
    expect(may([below, above, root], "orders.cancel")).toBe(false);
    expect(may([below, above, root], "orders.create")).toBe(true);
    expect(may([subaccount, organization, root], "orders.create")).toBe(false);
  });

  it("is never a role that an account gives the name of a built-in one", () => {
    const chain = [accountOf({ roles: new Map([["auditor", ["**"]]]) }), root];
    expect(
      effectiveGrant(viewOf({ key: keyOf({ roles: ["auditor"] }), chain })).allows("orders.create"),
    ).toBe(false);
  });

  it("is no more than the ceilings of its accounts and of their types", () => {
    const key = keyOf({ scopes: ["**"] });
    const types = new Map([["custody", ["!orders.**"]]]);
    const provider = accountOf({ ...root, providerRules: { types, terms: [], importPrefixes: [] } });
    const capped = accountOf({ scopeCeiling: ["weather.**", "orders.**"] });
    const custody = accountOf({ ...subaccount, type: "custody" });
    const grant = effectiveGrant(viewOf({ key, chain: [custody, capped, provider] }));
    expect(grant.allows("weather.read")).toBe(true);
    expect(grant.allows("orders.create")).toBe(false);
    expect(grant.allows("maps.read")).toBe(false);
  });

  it("is nothing under a ceiling that cannot be read", () => {
    const chain = [accountOf({ scopeCeiling: ["!orders.{x}"] }), root];
    expect(effectiveGrant(viewOf({ key: keyOf({ scopes: ["**"] }), chain })).allows("weather.read")).toBe(
      false,
    );
  });

  it("is no more than the endpoints that it, or its parent key, is held to", () => {
    const endpoints = [{ name: "read-weather", resource: "weather.read" }];
    const free = keyOf({ scopes: ["**"] });
    const held = keyOf({ scopes: ["**"], endpoints });
    for (const view of [viewOf({ key: held }), viewOf({ key: free, parent: held })]) {
      expect(effectiveGrant(view).allows("weather.read")).toBe(true);
      expect(effectiveGrant(view).allows("weather.write")).toBe(false);
    }
  });
});
