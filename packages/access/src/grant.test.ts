import { describe, expect, it } from "vitest";
import { keyOf, viewOf } from "../test/nodes.ts";
import { effectiveGrant, grantOf } from "./grant.ts";

describe("what a key may do", () => {
  it("is what its roles allow, and what it allows itself", () => {
    const grant = grantOf(keyOf({ roles: ["fund-manager"], scopes: ["weather.read"] }));
    expect(grant.allows("gatehouse.credits.transfer")).toBe(true);
    expect(grant.allows("weather.read")).toBe(true);
    expect(grant.allows("weather.write")).toBe(false);
  });

  it("is less what it denies itself, from its roles too", () => {
    const grant = grantOf(keyOf({ roles: ["developer"], scopes: ["!orders.cancel"] }));
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
    expect(grantOf(keyOf()).allows("weather.read")).toBe(false);
    expect(grantOf(keyOf({ roles: ["emperor", "__proto__"] })).allows("weather.read")).toBe(false);
  });

  it("keeps the built-in roles to what they are for", () => {
    const may = (role: string, scope: string) => grantOf(keyOf({ roles: [role] })).allows(scope);
    expect(may("administrator", "gatehouse.keys.create")).toBe(true);
    expect(may("administrator", "gatehouse.credits.transfer")).toBe(false);
    expect(may("administrator", "weather.read")).toBe(false);
    expect(may("developer", "weather.read")).toBe(true);
    expect(may("developer", "gatehouse.keys.read")).toBe(false);
    expect(may("auditor", "gatehouse.keys.read")).toBe(true);
    expect(may("auditor", "gatehouse.keys.create")).toBe(false);
  });

  it("is nothing where a scope cannot be read: it may be a deny", () => {
    expect(grantOf(keyOf({ scopes: ["**", "!weather.{read}"] })).allows("weather.read")).toBe(false);
  });
});
