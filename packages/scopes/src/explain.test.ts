import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { arbitraryGrant, arbitraryResource } from "../test/reference-model.ts";
import { explain } from "./explain.ts";
import { compileGrant, intersect } from "./grant.ts";

const key = compileGrant({
  roles: [["weather.**"], ["orders.**", "!orders.cancel"]],
  scopes: ["!orders.delete"],
});
const ceiling = compileGrant({ roles: [], scopes: ["!weather.history"] });

describe("explain", () => {
  test.each([
    ["orders.list", "ALLOWED", "ROLE", 1, "orders.**"],
    ["orders.cancel", "DENIED", "ROLE", 1, "!orders.cancel"],
    ["orders.delete", "DENIED", "OWN", undefined, "!orders.delete"],
    ["other", "UNMATCHED", undefined, undefined, undefined],
  ])("of %s names the scope that decided", (resource, outcome, list, role, scope) => {
    const allowed = outcome === "ALLOWED";
    expect(explain([key], resource)).toEqual({
      allowed,
      levels: [{ allowed, outcome, list, role, scope }],
    });
  });

  test("answers for each level", () => {
    const { allowed, levels } = explain([key, ceiling], "weather.history");
    expect(allowed).toBe(false);
    expect(levels.map(({ outcome, scope }) => [outcome, scope])).toEqual([
      ["ALLOWED", "weather.**"],
      ["DENIED", "!weather.history"],
    ]);
    expect(explain([ceiling], "weather.read").levels[0]?.outcome).toBe("EVERYTHING_BUT");
  });

  test("refuses a malformed resource", () => {
    expect(() => explain([key], "orders.*")).toThrow("character");
  });

  test("agrees with allows, level by level", () => {
    fc.assert(
      fc.property(fc.array(arbitraryGrant, { maxLength: 3 }), arbitraryResource, (grants, resource) => {
        const explanation = explain(grants, resource);
        expect(explanation.allowed).toBe(intersect(grants).allows(resource));
        expect(explanation.levels.map(({ allowed }) => allowed)).toEqual(
          grants.map((g) => g.allows(resource)),
        );
      }),
    );
  });
});
