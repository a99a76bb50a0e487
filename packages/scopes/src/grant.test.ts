import { describe, expect, test, vi } from "vitest";
import { compileGrant, intersect, MAX_ROLES } from "./grant.ts";
import { MAX_SCOPES, parseScopeList } from "./scope-list.ts";

const scopes = (...list: string[]) => compileGrant({ roles: [], scopes: list });

describe("a list", () => {
  test("allows nothing when empty", () => expect(scopes().allows("a")).toBe(false));

  test("lets deny win whatever the order", () => {
    expect(scopes("orders.**", "!orders.cancel").allows("orders.cancel")).toBe(false);
    expect(scopes("!orders.cancel", "orders.cancel").allows("orders.cancel")).toBe(false);
  });

  test("of only denies means everything but", () => {
    expect(scopes("!orders.cancel").allows("weather.read")).toBe(true);
    expect(scopes("!orders.cancel").allows("orders.cancel")).toBe(false);
    expect(scopes("!**").allows("weather.read")).toBe(false);
  });

  test("reads ** as the rest or nothing and * as exactly one segment", () => {
    expect(["orders", "orders.a", "orders.a.b", "ordersx"].map((r) => scopes("orders.**").allows(r))).toEqual(
      [true, true, true, false],
    );
    expect(["orders", "orders.a", "orders.a.b"].map((r) => scopes("orders.*").allows(r))).toEqual([
      false,
      true,
      false,
    ]);
  });

  test("of more prefixes than are scanned one by one still ends prefixes at a dot", () => {
    const many = scopes(..."abcdefgh".split("").map((name) => `${name}.${name}.**`));
    expect(["h.h", "h.h.x.y", "h.hx", "h", "a.b.b"].map((r) => many.allows(r))).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
  });

  test("of only denies lets no malformed resource slip past a deny", () => {
    for (const malformed of [
      "orders.cancel.",
      "orders..cancel",
      "orders.cancel\0",
      "*",
      "",
      "a".repeat(1e6),
    ]) {
      expect(scopes("!orders.cancel").allows(malformed)).toBe(false);
    }
  });
});

describe("a grant", () => {
  test("unites roles, each with its own denies, with the own allows; the own denies subtract from all", () => {
    const grant = compileGrant({
      roles: [["orders.**", "!orders.cancel"], ["weather.read"]],
      scopes: ["orders.cancel", "!orders.delete"],
    });
    const allowed = ["orders.list", "orders.cancel", "orders.delete", "weather.read", "other"];
    expect(allowed.map((resource) => grant.allows(resource))).toEqual([true, true, false, true, false]);
  });

  test("with roles is not widened by an own list of only denies", () => {
    const grant = compileGrant({ roles: [["weather.read"]], scopes: ["!orders.cancel"] });
    expect(grant.allows("other")).toBe(false);
    expect(grant.allows("weather.read")).toBe(true);
    // A role that allows nothing is still a role: emptying it must not widen its bearers.
    expect(compileGrant({ roles: [[]], scopes: ["!orders.cancel"] }).allows("other")).toBe(false);
  });

  test("takes lists parsed once and shared", () => {
    const role = parseScopeList(["a.*"]);
    expect(compileGrant({ roles: [role], scopes: parseScopeList([]) }).allows("a.b")).toBe(true);
  });

  test("has a bounded number of roles", () => {
    expect(() => compileGrant({ roles: Array(MAX_ROLES + 1).fill(["a"]), scopes: [] })).toThrow("50 roles");
  });
});

describe("an intersection", () => {
  test("of nothing bounds nothing", () => expect(intersect([]).allows("a.b")).toBe(true));

  test("binds a child when its parent is narrowed", () => {
    expect(intersect([scopes("**"), scopes("orders.**", "!orders.cancel")]).allows("orders.cancel")).toBe(
      false,
    );
  });
});

describe("cost", () => {
  test("hostile patterns and resources cost at most one step per segment and scope", () => {
    const stem = Array(14).fill("*").join(".");
    const hostile = Array.from({ length: MAX_SCOPES }, (_, index) => `${stem}.x${index}.**`);
    const grant = scopes(...hostile);
    const resource = Array(16).fill("a").join(".");
    const steps = vi.spyOn(String.prototype, "indexOf");
    const allowed = grant.allows(resource);
    const count = steps.mock.calls.length;
    steps.mockRestore();
    expect(allowed).toBe(false);
    // Every walk looks for one dot per segment: seen here, so the bound below is not about nothing.
    expect(count).toBeGreaterThan(MAX_SCOPES);
    expect(count).toBeLessThanOrEqual(MAX_SCOPES * 16 + 16);
  });
});
