import { effectiveGrant } from "@gatehouse/access";
import * as fc from "fast-check";
import { expect, it } from "vitest";
import { ChargePaths } from "./charge-path.ts";
import { AccountEntry, KeyEntry } from "./entry.ts";
import { FakeIdentity, newAccount } from "./identity.fixture.ts";

const scopes = fc.constantFrom([], ["a.read"], ["a.**"], ["!a.read"], ["b.**"]);
const lists = fc.dictionary(fc.constantFrom("one", "two"), scopes, { noNullPrototype: true });
const mapped = lists.map((entries) => new Map(Object.entries(entries)));
// Each changes one thing: what changes with others could hide behind them.
const change = fc.oneof(
  fc.record({ account: fc.nat({ max: 3 }), scopeCeiling: scopes }),
  fc.record({ account: fc.nat({ max: 3 }), type: fc.constantFrom("", "one", "two") }),
  fc.record({ account: fc.nat({ max: 3 }), roles: mapped }),
  fc.record({
    account: fc.constant(0),
    providerRules: fc.record({ types: mapped, terms: fc.constant([]), importPrefixes: fc.constant([]) }),
  }),
);

it("what a cached key may do is what it may do by the accounts as they are, on its own account and another", () => {
  const identity = new FakeIdentity();
  fc.assert(
    fc.property(fc.array(change, { maxLength: 12 }), (changes) => {
      const root = new AccountEntry({ ...newAccount, id: "acc_root", parentId: undefined }, 0);
      const organization = new AccountEntry({ ...newAccount, id: "acc_org" }, 0);
      const own = new AccountEntry({ ...newAccount, id: "acc_own", parentId: "acc_org" }, 0);
      const other = new AccountEntry({ ...newAccount, id: "acc_other", parentId: "acc_own" }, 0);
      const accounts = [root, organization, own, other];
      const chain = [own, organization, root];
      const target = [other, ...chain];
      const parentKey = identity.keyOf({ id: "key_parent", roles: ["one", "two"], scopes: ["b.read"] });
      const parent = new KeyEntry(parentKey, undefined, chain, 0, 0);
      const paths = new ChargePaths();
      // One for each question, so that each finds the path of its question before.
      const asked = ["a.read", "b.read"].flatMap((resource) =>
        [chain, target].map((on) => {
          const key = new KeyEntry(identity.keyOf({ roles: ["one"] }), parent, chain, 0, 0);
          return { key, resource, on };
        }),
      );
      for (const [revision, { account, ...node }] of changes.entries()) {
        const entry = accounts[account]!;
        entry.update({ ...entry, ...node }, revision);
        for (const { key: cached, resource, on } of asked) {
          const { key, parent } = cached;
          const held = effectiveGrant({ key, parent, chain }).allows(resource);
          const passes = effectiveGrant({ key: everything, parent: undefined, chain: on }).allows(resource);
          expect(paths.of(cached, on, resource).isAllowed).toBe(held && passes);
        }
      }
    }),
    { numRuns: 500 },
  );
});

/** Of a key that may do everything, what is left is what the ceilings let through. */
const everything = new FakeIdentity().keyOf({ scopes: ["**"] });
