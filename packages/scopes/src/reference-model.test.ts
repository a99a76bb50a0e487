import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  arbitraryGiven,
  arbitraryGrant,
  arbitraryResource,
  givenAllows,
  type PlainScopes,
  universe,
} from "../test/reference-model.ts";
import { compileGrant, type Grant, intersect } from "./grant.ts";

const sample = universe();

describe("against the reference model", () => {
  test("a compiled grant allows exactly what the rules say", () => {
    fc.assert(
      fc.property(arbitraryGiven, arbitraryResource, (given, resource) => {
        expect(compileGrant(given).allows(resource)).toBe(givenAllows(given, resource));
      }),
      { numRuns: 2000 },
    );
  });

  test("a nest of intersections allows what every part of it allows", () => {
    interface Nest {
      readonly grant: Grant;
      readonly parts: readonly PlainScopes[];
    }
    const { nest } = fc.letrec<{ nest: Nest }>((tie) => ({
      nest: fc.oneof(
        { depthSize: "small", maxDepth: 3 },
        arbitraryGiven.map((given) => ({ grant: compileGrant(given), parts: [given] })),
        fc.array(tie("nest") as fc.Arbitrary<Nest>, { maxLength: 3 }).map((nests) => ({
          grant: intersect(nests.map(({ grant }) => grant)),
          parts: nests.flatMap(({ parts }) => parts),
        })),
      ),
    }));
    fc.assert(
      fc.property(nest, arbitraryResource, ({ grant, parts }, resource) => {
        expect(grant.allows(resource)).toBe(parts.every((given) => givenAllows(given, resource)));
      }),
    );
  });

  test("an intersection is never wider than either side", () => {
    fc.assert(
      fc.property(arbitraryGrant, arbitraryGrant, (left, right) => {
        const both = intersect([left, right]);
        for (const resource of sample.filter((name) => both.allows(name))) {
          expect([left.allows(resource), right.allows(resource)]).toEqual([true, true]);
        }
      }),
      { numRuns: 50 },
    );
  });
});
