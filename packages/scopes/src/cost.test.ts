import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { compileGrant, type Grant, intersect } from "./grant.ts";
import { MAX_SEGMENTS } from "./scope.ts";
import { MAX_SCOPES } from "./scope-list.ts";

/*
 * Every walk over a resource, and every cut of a prefix, looks for one dot per segment. So the looks for dots are the
 * steps, and they are counted instead of timed.
 */
function stepsOf(grant: Grant, resource: string): number {
  const looks = vi.spyOn(String.prototype, "indexOf");
  try {
    grant.allows(resource);
    return looks.mock.calls.length;
  } finally {
    looks.mockRestore();
  }
}

// Mostly what matches until late, so that walks are long.
const segment = fc.oneof(
  { weight: 5, arbitrary: fc.constant("*") },
  fc.constantFrom("a", "b", "x".repeat(15)),
);
const pattern = fc
  .tuple(
    fc.constantFrom("", "", "!"),
    fc.array(segment, { minLength: 1, maxLength: MAX_SEGMENTS - 2 }),
    fc.constantFrom("", ".z", ".z.**", ".**"),
  )
  .map(([deny, segments, end]) => `${deny}${segments.join(".")}${end}`);
const hostileList = fc.array(pattern, { minLength: 1, maxLength: 40 });
const resource = fc
  .array(fc.constantFrom("a", "a", "a", "b"), { minLength: MAX_SEGMENTS - 6, maxLength: MAX_SEGMENTS })
  .map((segments) => segments.join("."));

describe("the cost of a check", () => {
  test("is at most a step per scope and segment, whatever the patterns and however they nest", () => {
    const nest = fc.array(
      fc.record({ roles: fc.array(hostileList, { maxLength: 4 }), scopes: hostileList }),
      {
        minLength: 1,
        maxLength: 6,
      },
    );
    let most = 0;
    fc.assert(
      fc.property(nest, resource, (levels, name) => {
        const lists = levels.flatMap(({ roles, scopes }) => [...roles, scopes]);
        const scopes = lists.flat().length;
        const steps = stepsOf(intersect(levels.map(compileGrant)), name);
        // Each list has two sets, of allows and of denies, and each cuts its prefixes once.
        expect(steps).toBeLessThanOrEqual((scopes + 2 * lists.length) * MAX_SEGMENTS);
        most = Math.max(most, steps);
      }),
      { numRuns: 500 },
    );
    // Where no walk is seen, the bound is about nothing.
    expect(most).toBeGreaterThan(100);
  });

  test("grows with the scopes, not with what they have in common", () => {
    const stem = Array(MAX_SEGMENTS - 2)
      .fill("*")
      .join(".");
    const name = Array(MAX_SEGMENTS - 1)
      .fill("a")
      .join(".");
    const denies = (scopes: number) =>
      stepsOf(
        compileGrant({ roles: [], scopes: Array.from({ length: scopes }, (_, n) => `!${stem}.x${n}`) }),
        name,
      );
    expect(denies(MAX_SCOPES)).toBe(2 * denies(MAX_SCOPES / 2));
  });
});
