import { intersect, scopeListErrors } from "@gatehouse/scopes";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  arbitraryGiven,
  arbitraryPattern,
  givenAllows,
  listAllows,
  universe,
} from "../../scopes/test/reference-model.ts";
import { accountOf, keyOf, root, viewOf } from "../test/nodes.ts";
import { ceilingsOf, effectiveGrant, levelsOf } from "./grant.ts";
import type { AccountNode, KeyNode, KeyView } from "./node.ts";

/*
 * The whole nest of a key, against the rules written the obvious way: roles by the nearest account, own scopes,
 * endpoints, the parent key, and the ceilings of accounts and of their types.
 */

const ROLES = ["r", "s", "t"];
const TYPES = ["", "x", "y"];

const list = arbitraryGiven.map(({ scopes }) => scopes);
const ceiling = fc.oneof(
  { weight: 2, arbitrary: fc.constant([] as readonly string[]) },
  { weight: 1, arbitrary: list },
);
const resource = fc.constantFrom(...universe().slice(0, 60));

const arbitraryKey = fc
  .record({
    roles: fc.uniqueArray(fc.constantFrom(...ROLES), { maxLength: 3 }),
    scopes: fc.oneof(list, fc.constant(["**"])),
    endpoints: fc.oneof(
      { weight: 3, arbitrary: fc.constant([]) },
      {
        weight: 1,
        arbitrary: fc.array(
          resource.map((each) => ({ name: each, resource: each })),
          { maxLength: 4 },
        ),
      },
    ),
  })
  .map((given) => keyOf(given));

const arbitraryAccount = fc
  .record({
    roles: fc.dictionary(fc.constantFrom(...ROLES), list).map((given) => new Map(Object.entries(given))),
    scopeCeiling: ceiling,
    type: fc.constantFrom(...TYPES),
  })
  .map((given) => accountOf(given));

const arbitraryRoot = fc.dictionary(fc.constantFrom("x", "y"), ceiling).map((types) =>
  accountOf({
    ...root,
    providerRules: { types: new Map(Object.entries(types)), terms: [], importPrefixes: [] },
  }),
);

const arbitraryView: fc.Arbitrary<KeyView> = fc
  .record({
    key: arbitraryKey,
    parent: fc.option(arbitraryKey, { nil: undefined }),
    below: fc.array(arbitraryAccount, { minLength: 1, maxLength: 4 }),
    top: arbitraryRoot,
  })
  .map(({ key, parent, below, top }) => ({ ...viewOf({ key }), key, parent, chain: [...below, top] }));

function viewAllows({ key, parent, chain }: KeyView, name: string): boolean {
  const types = chain.at(-1)!.providerRules!.types;
  const ceilings = chain.flatMap(({ scopeCeiling, type }) => [scopeCeiling, types.get(type) ?? []]);
  return (
    [key, ...(parent === undefined ? [] : [parent])].every((each) => keyAllows(each, chain, name)) &&
    ceilings.every((scopes) => scopes.length === 0 || listAllows(scopes, name))
  );
}

function keyAllows(
  { roles, scopes, endpoints }: KeyNode,
  chain: readonly AccountNode[],
  name: string,
): boolean {
  const meaning = (role: string) => chain.find((account) => account.roles.has(role))?.roles.get(role) ?? [];
  if (endpoints.length > 0 && !endpoints.some((endpoint) => endpoint.resource === name)) return false;
  return givenAllows({ roles: roles.map(meaning), scopes }, name);
}

describe("the effective grant", () => {
  it("is what the rules say, over arbitrary nests", () => {
    let allowed = 0;
    fc.assert(
      fc.property(arbitraryView, (view) => {
        const grant = effectiveGrant(view);
        for (const name of universe()) {
          expect(grant.allows(name)).toBe(viewAllows(view, name));
          if (grant.allows(name)) allowed++;
        }
      }),
      { numRuns: 400 },
    );
    // Nests that let nothing through would show nothing.
    expect(allowed).toBeGreaterThan(1000);
  });

  it("is what its levels come to, each named once", () => {
    fc.assert(
      fc.property(arbitraryView, fc.array(arbitraryAccount, { maxLength: 2 }), (view, below) => {
        const target = [...below, ...view.chain];
        const grants = levelsOf(view, target).map(({ grant }) => grant);
        const expected = intersect([effectiveGrant(view), ...ceilingsOf(target)]);
        for (const name of universe()) expect(intersect(grants).allows(name)).toBe(expected.allows(name));
        expect(levelsOf(view, view.chain).length).toBe(effectiveGrant(view).levels.length);
      }),
      { numRuns: 100 },
    );
  });

  it("is never wider than any part of it, nor widened by one more", () => {
    fc.assert(
      fc.property(arbitraryView, ceiling, arbitraryPattern, (view, added, denied) => {
        expect(scopeListErrors(added)).toEqual([]);
        const before = effectiveGrant(view);
        const narrower: KeyView[] = [
          { ...view, parent: view.parent ?? keyOf({ scopes: [`!${denied}`] }) },
          { ...view, chain: [accountOf({ scopeCeiling: added }), ...view.chain] },
          {
            ...view,
            key: {
              ...view.key,
              scopes: [...view.key.scopes, `!${denied}`],
              roles: [...view.key.roles, "none"],
            },
          },
        ];
        for (const name of universe()) {
          if (before.allows(name)) continue;
          for (const each of narrower) expect(effectiveGrant(each).allows(name)).toBe(false);
        }
      }),
      { numRuns: 60 },
    );
  });
});
