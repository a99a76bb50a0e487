import { AddressList, type EndpointNode, effectiveGrant, isAddressAllowed } from "@gatehouse/access";
import { compileGrant } from "@gatehouse/scopes";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Account, Chain } from "../accounts/account.ts";
import { NOTHING_SET } from "../accounts/account.ts";
import { type AddressLevel, effectiveAccess, type ScopeLevel } from "./effective-access.ts";
import type { Key, KeyInTree } from "./key.ts";

const RESOURCES = ["orders", "orders.read", "orders.cancel", "weather.read", "gatehouse.keys.read", "a.b.c"];
const ADDRESSES = ["10.0.0.1", "10.1.0.1", "192.0.2.1", "2001:db8::1", "::1"];

const scope = fc
  .tuple(fc.boolean(), fc.constantFrom("**", "orders.**", "orders.read", "*.read", "gatehouse.**", "a.*.c"))
  .map(([deny, pattern]) => (deny ? `!${pattern}` : pattern));
const scopes = fc.array(scope, { maxLength: 3 });
const ranges = fc.uniqueArray(fc.constantFrom("10.0.0.0/8", "10.1.0.0/16", "192.0.2.1/32", "2001:db8::/32"), {
  maxLength: 2,
});
const endpoints: fc.Arbitrary<EndpointNode[]> = fc.array(
  fc.constantFrom(...RESOURCES).map((resource) => ({ name: resource, resource })),
  { maxLength: 2 },
);
const time = fc.option(fc.integer({ min: 0, max: 10 }), { nil: undefined });

const key = fc.record({
  roles: fc.uniqueArray(fc.constantFrom("developer", "auditor", "own", "gone"), { maxLength: 2 }),
  scopes,
  endpoints,
  ipAllow: ranges,
  ipDeny: ranges,
  notBeforeMs: time,
  expiresAtMs: time,
});
const account = fc.record({ scopeCeiling: scopes, type: fc.constantFrom("", "lab") });

const view: fc.Arbitrary<KeyInTree> = fc
  .record({
    key,
    parent: fc.option(key, { nil: undefined }),
    accounts: fc.array(account, { minLength: 1, maxLength: 3 }),
    own: scopes,
    lab: scopes,
  })
  .map(({ key, parent, accounts, own, lab }) => ({
    key: { id: "key", status: "ENABLED", ...key } as unknown as Key,
    parent: parent && ({ id: "parent", status: "ENABLED", ...parent } as unknown as Key),
    chain: accounts.map((given, depth) => ({
      ...NOTHING_SET,
      ...given,
      id: `account ${depth}`,
      status: "ACTIVE",
      roles: new Map([["own", own]]),
      providerRules:
        depth === accounts.length - 1
          ? { types: new Map([["lab", lab]]), terms: [], importPrefixes: [] }
          : undefined,
    })) as unknown as Chain & Account[],
  }));

describe("effective access", () => {
  it("its levels say what decisions say, and never more than any of them", () => {
    fc.assert(
      fc.property(view, fc.constantFrom(...RESOURCES), (view, resource) => {
        const { scopes } = effectiveAccess(view, 0);
        const said = scopes.map((level) => levelAllows(level, resource));
        expect(said.every(Boolean)).toBe(effectiveGrant(view).allows(resource));
      }),
      { numRuns: 2000 },
    );
  });

  it("its addresses are those that calls are let in from", () => {
    fc.assert(
      fc.property(view, fc.constantFrom(...ADDRESSES), (view, address) => {
        const { addresses } = effectiveAccess(view, 0);
        const said = addresses.every((level) => addressAllows(level, address));
        expect(said).toBe(isAddressAllowed(view, address));
      }),
    );
  });

  it("its times are within its own and its parent key's, and its state follows from them", () => {
    fc.assert(
      fc.property(view, fc.integer({ min: 0, max: 11 }), (view, nowMs) => {
        const { notBeforeMs = 0, expiresAtMs = 12, state } = effectiveAccess(view, nowMs);
        for (const each of view.parent === undefined ? [view.key] : [view.key, view.parent]) {
          expect(notBeforeMs).toBeGreaterThanOrEqual(each.notBeforeMs ?? 0);
          expect(expiresAtMs).toBeLessThanOrEqual(each.expiresAtMs ?? 12);
        }
        expect(state === "VALID").toBe(nowMs >= notBeforeMs && nowMs < expiresAtMs);
      }),
    );
  });
});

function levelAllows({ roles, scopes, endpointResources }: ScopeLevel, resource: string): boolean {
  const own = compileGrant({ roles: roles.map(({ scopes }) => scopes), scopes }).allows(resource);
  return own && (endpointResources.length === 0 || endpointResources.includes(resource));
}

function addressAllows({ ipAllow, ipDeny }: AddressLevel, address: string): boolean {
  if (new AddressList(ipDeny).has(address)) return false;
  return ipAllow.length === 0 || new AddressList(ipAllow).has(address);
}
