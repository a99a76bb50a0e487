import type { KeyNode } from "@gatehouse/access";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bytesOfAccount } from "./entry-bytes.ts";
import { FakeIdentity, newAccount } from "./identity.fixture.ts";
import { IdentityCache } from "./identity-cache.ts";

const MEGABYTE = 1_000_000;
const text = (length: number) => "x".repeat(length);
const list = (count: number, length: number) => Array.from({ length: count }, () => text(length));

/** A key with everything at its maximum, whose lists are its own, as long ones are. */
const huge = (): Partial<KeyNode> => ({
  scopes: list(100, 200),
  labels: Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`${i}`.padEnd(63), text(255)])),
  ipAllow: list(50, 43),
  ipDeny: list(50, 43),
  endpoints: Array.from({ length: 100 }, () => ({ name: text(100), resource: text(200) })),
});

function setUp(bytes?: number) {
  const identity = new FakeIdentity();
  const cache = new IdentityCache({
    capacity: 10_000_000,
    ...(bytes !== undefined && { bytes }),
    lifetimeMs: 60_000,
    nowMs: () => 0,
  });
  cache.restart(identity.position);
  const fill = (id: string, node: Partial<KeyNode> = {}, accounts = identity.accounts) => {
    const keys = new Map([[id, identity.keyOf({ id, ...node })]]);
    return cache.fillKey(id, { position: identity.position, keys, accounts });
  };
  return { identity, cache, fill };
}

describe("a cache held to bytes", () => {
  it("has as many small keys as fit, out of a million that come", () => {
    const { cache, fill } = setUp(100 * MEGABYTE);
    for (let i = 0; i < 1_000_000; i++) fill(`key_${i}`);
    expect(cache.bytes).toBeLessThanOrEqual(100 * MEGABYTE);
    expect(cache.size).toBeGreaterThan(100_000_000 / 800);
  }, 60_000);

  it("has fewer of ten thousand large ones, and uses the room that it has", () => {
    const { cache, fill } = setUp(100 * MEGABYTE);
    for (let i = 0; i < 10_000; i++) {
      fill(`key_${i}`, huge());
      expect(cache.bytes).toBeLessThanOrEqual(100 * MEGABYTE);
      expect(cache.key(`key_${i}`), `${i}, as it was filled`).toBeDefined();
    }
    expect(cache.bytes).toBeGreaterThan(95 * MEGABYTE);
    expect(cache.size).toBeLessThan(2000);
  });

  it("would have all of them without (control)", () => {
    const { cache, fill } = setUp();
    for (let i = 0; i < 3000; i++) fill(`key_${i}`, huge());
    expect([cache.size, cache.bytes > 100 * MEGABYTE]).toEqual([3000, true]);
  });

  it("counts the accounts that hang on its keys, and lets them go with these", () => {
    const { identity, cache, fill } = setUp(10 * MEGABYTE);
    const roles = new Map(Array.from({ length: 50 }, (_, i) => [`role-${i}`, list(50, 50)]));
    for (let i = 0; i < 500; i++) {
      const own = { ...newAccount, id: `acc_${i}`, parentId: "acc_org", roles };
      const accounts = new Map([...identity.accounts, [own.id, own] as const]);
      fill(`key_${i}`, { accountId: own.id }, accounts);
      expect(cache.bytes).toBeLessThanOrEqual(10 * MEGABYTE);
    }
    expect(cache.size).toBeLessThan(15);
    expect(cache.sizes.accounts).toBe(cache.size + 2);
  });

  it("counts a list once that many keys have", () => {
    const { cache, fill } = setUp();
    const scopes = list(100, 20);
    const grows = (id: string, node: Partial<KeyNode>) => {
      const before = cache.bytes;
      fill(id, node);
      return cache.bytes - before;
    };
    const first = grows("key_1", { scopes });
    const second = grows("key_2", { scopes });
    expect([first - second > 30_000, second < 1000]).toEqual([true, true]);
    expect(grows("key_3", { scopes: [...scopes] }) - second).toBeGreaterThan(30_000);
    cache.restart(cache.position()!);
    expect(cache.bytes).toBe(0);
  });

  it("makes room where a change makes an entry grow", () => {
    const { identity, cache, fill } = setUp(MEGABYTE);
    for (let i = 0; i < 1000; i++) fill(`key_${i}`);
    const before = cache.size;
    const grow = () => identity.putAccount("acc_org", { roles: new Map([["role", list(1500, 100)]]) });
    grow();
    identity.putKey("key_999", huge());
    cache.apply(cache.position()!, identity.changesAfter(cache.position()!.revision));
    expect(cache.bytes).toBeLessThanOrEqual(MEGABYTE);
    expect(cache.size).toBeLessThan(before);
  });

  it("weighs nothing once it is empty, whatever came, changed and went", () => {
    const change = fc.record({
      id: fc.constantFrom("key_a", "key_b", "key_c"),
      labels: fc.dictionary(fc.string({ maxLength: 5 }), fc.string({ maxLength: 50 }), { maxKeys: 5 }),
      onAccount: fc.boolean(),
      fills: fc.boolean(),
    });
    fc.assert(
      fc.property(
        fc.array(change, { maxLength: 40 }),
        fc.integer({ min: 3000, max: 12_000 }),
        (changes, bytes) => {
          const { identity, cache } = setUp(bytes);
          for (const { id, labels, onAccount, fills } of changes) {
            if (onAccount) identity.putAccount("acc_org", { labels });
            else identity.putKey(id, { labels });
            cache.apply(cache.position()!, identity.changesAfter(cache.position()!.revision));
            if (fills) cache.fillKey(id, identity.resolveKeys([id]));
          }
          cache.restart(identity.position);
          expect([cache.bytes, cache.size]).toEqual([0, 0]);
        },
      ),
    );
  });
});

it("an estimate grows with all that a node can have", () => {
  const bytesWith = (node: Partial<KeyNode>) => {
    const { cache, fill } = setUp();
    fill("key_1", node);
    return cache.bytes;
  };
  for (const [name, value] of Object.entries(huge())) {
    expect(bytesWith({ [name]: value }), name).toBeGreaterThan(bytesWith({}) + 2000);
  }
  const types = new Map([["type", list(100, 100)]]);
  const terms = [{ document: "d", version: "1", gates: list(100, 100) }];
  for (const node of [
    { labels: huge().labels! },
    { scopeCeiling: list(100, 100) },
    { roles: types },
    { upstreamCredential: text(4000) },
    { formerSlugs: list(100, 60) },
    { acceptedTerms: new Map(Array.from({ length: 50 }, (_, i) => [`document-${i}`, "1"])) },
    { providerRules: { types, terms: [], importPrefixes: [] } },
    { providerRules: { types: new Map(), terms, importPrefixes: [] } },
  ]) {
    expect(bytesOfAccount({ ...newAccount, ...node })).toBeGreaterThan(bytesOfAccount(newAccount) + 2000);
  }
});
