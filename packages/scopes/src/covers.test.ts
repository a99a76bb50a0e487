import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { arbitraryGrant, arbitraryPattern, patternMatches, universe } from "../test/reference-model.ts";
import { covers, MAX_COVER_STEPS } from "./covers.ts";
import { compileGrant, type Grant, intersect } from "./grant.ts";
import { contains, overlap } from "./pattern.ts";
import { parseScope } from "./scope.ts";

const scopes = (...list: string[]) => compileGrant({ roles: [], scopes: list });
const roles = (...lists: string[][]) => compileGrant({ roles: lists, scopes: [] });
const ADMINISTRATOR = ["gatehouse.**", "!gatehouse.credits.**"];
const FUND_MANAGER = ["gatehouse.credits.**"];
const administrator = roles(ADMINISTRATOR);
const all = "gatehouse.**";
const sample = universe();

describe("covers", () => {
  test.each<[string, Grant, Grant]>([
    ["administrator itself", administrator, administrator],
    ["administrator a key manager", administrator, scopes("gatehouse.keys.*", "gatehouse.accounts.read")],
    ["administrator everything outside the bound", administrator, scopes("orders.**", "weather.read")],
    ["administrator a narrower administrator", administrator, scopes(...ADMINISTRATOR, "!gatehouse.keys.**")],
    ["** anything", scopes("**"), compileGrant({ roles: [["!a"], [all]], scopes: ["!b"] })],
    ["administrator and fund manager together all", roles(ADMINISTRATOR, FUND_MANAGER), scopes(all)],
    ["an own deny the same deny", scopes(all, "!gatehouse.keys.revoke"), scopes(all, "!gatehouse.keys.*")],
    ["*.**, another spelling of **, all", scopes("*.**"), scopes("**")],
    ["anything a grant of nothing", scopes(), scopes()],
    ["a capped key the same cap", intersect([scopes("**"), administrator]), administrator],
    [
      "what two levels leave together",
      scopes("gatehouse.keys.read"),
      intersect([scopes("gatehouse.keys.*"), scopes("gatehouse.*.read")]),
    ],
  ])("%s", (_, wider, narrower) => expect(covers(wider, narrower, all)).toBe(true));

  test.each<[string, Grant, Grant]>([
    ["administrator does not cover all", administrator, scopes(all)],
    ["administrator does not cover everything but", administrator, scopes("!orders.**")],
    ["administrator does not cover a credit reader", administrator, scopes("gatehouse.*.read")],
    ["an own deny does not cover all", scopes("**", "!gatehouse.keys.revoke"), scopes(all)],
    [
      "an own deny does not cover all, roles or not",
      compileGrant({ roles: [[all]], scopes: ["!gatehouse.keys.revoke"] }),
      scopes(all),
    ],
    ["a ceiling binds", intersect([scopes("**"), administrator]), scopes(...FUND_MANAGER)],
    ["names do not cover a wildcard", scopes("gatehouse.keys.read"), scopes("gatehouse.keys.*")],
  ])("%s", (_, wider, narrower) => expect(covers(wider, narrower, all)).toBe(false));

  test("is bounded by a plain pattern", () => {
    expect(() => covers(administrator, administrator, "!a")).toThrow("denies");
  });

  test("is never true when some resource escapes", () => {
    let yes = 0;
    fc.assert(
      fc.property(arbitraryGrant, arbitraryGrant, arbitraryPattern, (wider, narrower, within) => {
        if (!covers(wider, narrower, within)) return;
        const inside = sample.filter((name) => patternMatches(within.split("."), name.split(".")));
        if (inside.some((name) => narrower.allows(name))) yes++;
        expect(inside.filter((name) => narrower.allows(name) && !wider.allows(name))).toEqual([]);
      }),
      { numRuns: 1500 },
    );
    expect(yes).toBeGreaterThan(0);
  });

  test("every grant covers itself and whatever it is part of", () => {
    fc.assert(
      fc.property(arbitraryGrant, arbitraryGrant, arbitraryPattern, (grant, other, within) => {
        expect(covers(grant, grant, within)).toBe(true);
        expect(covers(grant, intersect([grant, other]), within)).toBe(true);
        expect(covers(grant, intersect([other, grant]), within)).toBe(true);
      }),
    );
  });

  test("hostile grants end within the budget, with no", () => {
    const stem = Array(15).fill("*");
    const denies = (salt: string) =>
      Array.from(
        { length: 199 },
        (_, index) => `!${stem.toSpliced(index % 15, 1, `${salt}${index}`).join(".")}`,
      );
    const wide = roles(...Array.from({ length: 50 }, (_, role) => ["**", ...denies(`w${role}-`)]));
    const narrow = roles(...Array.from({ length: 50 }, (_, role) => ["**", ...denies(`n${role}-`)]));
    const budget = { left: MAX_COVER_STEPS };
    expect(covers(wide, narrow, "**", budget)).toBe(false);
    expect(budget.left).toBe(0);
  });
});

describe("patterns", () => {
  test("overlap and contain as the sets they stand for", () => {
    fc.assert(
      fc.property(arbitraryPattern, arbitraryPattern, (left, right) => {
        const both = overlap(parseScope(left), parseScope(right));
        const inLeft = new Set(sample.filter((name) => patternMatches(left.split("."), name.split("."))));
        const inRight = new Set(sample.filter((name) => patternMatches(right.split("."), name.split("."))));
        const met = both && [...both.segments, ...(both.rest ? ["**"] : [])];
        const inBoth = sample.filter((name) => met !== undefined && patternMatches(met, name.split(".")));
        expect(inBoth).toEqual(sample.filter((name) => inLeft.has(name) && inRight.has(name)));
        // The sample ends at a depth, where `a.b` and `a.b.**` may look alike: containment is checked one way there.
        if (contains(parseScope(left), parseScope(right))) expect(inRight.isSubsetOf(inLeft)).toBe(true);
        else if (!right.includes("**")) expect(inRight.isSubsetOf(inLeft)).toBe(false);
      }),
      { numRuns: 500 },
    );
  });
});
