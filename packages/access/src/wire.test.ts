import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  AccountStateSchema,
  KeyStateSchema,
  AccountStatus as WireAccountStatus,
  KeyKind as WireKeyKind,
  KeyStatus as WireKeyStatus,
} from "@gatehouse/proto/identity";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { accountOf, keyOf, root, viewOf } from "../test/nodes.ts";
import type { AccountNode, KeyNode } from "./node.ts";
import { stateOf } from "./state.ts";
import {
  accountJson,
  accountNode,
  accountOfJson,
  accountState,
  keyJson,
  keyNode,
  keyOfJson,
  keyState,
} from "./wire.ts";

const id = fc.stringMatching(/^[a-z0-9_]{1,12}$/);
const labels = fc.dictionary(id, fc.string({ maxLength: 5 }), { maxKeys: 3, noNullPrototype: true });
const timeMs = fc.option(fc.nat({ max: 4_102_444_800_000 }), { nil: undefined });
const texts = fc.array(id, { maxLength: 3 });

const lists = fc.array(fc.tuple(id, texts), { maxLength: 2 }).map((entries) => new Map(entries));

const keys: fc.Arbitrary<KeyNode> = fc.record({
  id,
  accountId: id,
  parentKeyId: fc.option(id, { nil: undefined }),
  kind: fc.constantFrom("MASTER" as const, "ACCOUNT" as const, "SUB" as const),
  status: fc.constantFrom("ENABLED" as const, "DISABLED" as const, "REVOKED" as const),
  name: fc.string({ maxLength: 5 }),
  labels,
  secretHashes: texts,
  retiringHashes: fc.array(fc.record({ hash: id, untilMs: fc.nat() }), { maxLength: 2 }),
  roles: texts,
  scopes: texts,
  endpoints: fc.array(fc.record({ name: id, resource: id }), { maxLength: 2 }),
  ipAllow: texts,
  ipDeny: texts,
  deniedIntegrations: texts,
  signing: fc.option(
    fc.record({
      algorithm: fc.constantFrom("HMAC_SHA256", "HMAC_SHA384", "HMAC_SHA512", "ED25519"),
      keys: fc.array(fc.record({ value: id, untilMs: timeMs }), { maxLength: 2 }),
      strictReplay: fc.boolean(),
      strictSinceMs: timeMs,
    }),
    { nil: undefined },
  ),
  notBeforeMs: timeMs,
  expiresAtMs: timeMs,
});

const accounts: fc.Arbitrary<AccountNode> = fc.record({
  id,
  parentId: fc.option(id, { nil: undefined }),
  organizationId: fc.option(id, { nil: undefined }),
  slug: id,
  formerSlugs: texts,
  status: fc.constantFrom("ACTIVE" as const, "SUSPENDED" as const, "CLOSED" as const),
  labels,
  type: id,
  scopeCeiling: texts,
  isolated: fc.boolean(),
  roles: lists,
  acceptedTerms: fc.array(fc.tuple(id, id), { maxLength: 2 }).map((entries) => new Map(entries)),
  plan: id,
  upstreamCredential: id,
  providerRules: fc.option(
    fc.record({
      types: lists,
      terms: fc.array(fc.record({ document: id, version: id, gates: texts }), { maxLength: 2 }),
      importPrefixes: texts,
    }),
    { nil: undefined },
  ),
});

describe("a node on the wire", () => {
  it("comes back as it went, key and account", () => {
    fc.assert(
      fc.property(keys, (key) => {
        const bytes = toBinary(KeyStateSchema, keyState(key));
        expect(keyNode(fromBinary(KeyStateSchema, bytes))).toEqual(key);
      }),
    );
    fc.assert(
      fc.property(accounts, (account) => {
        const bytes = toBinary(AccountStateSchema, accountState(account));
        expect(accountNode(fromBinary(AccountStateSchema, bytes))).toEqual(account);
      }),
    );
  });

  it("comes back from a database as it went, and passes over what a newer version wrote", () => {
    const stored = (json: unknown) => JSON.parse(JSON.stringify(json));
    fc.assert(
      fc.property(keys, accounts, (key, account) => {
        expect(keyOfJson(stored(keyJson(key)))).toEqual(key);
        expect(accountOfJson(stored(accountJson(account)))).toEqual(account);
      }),
    );
    expect(keyOfJson({ ...stored(keyJson(keyOf())), tomorrow: true })).toEqual(keyOf());
  });

  it.each([WireKeyStatus.UNSPECIFIED, 99])(
    "stops the key whose status %s this version does not know",
    (status) => {
      const key = keyNode(create(KeyStateSchema, { ...keyState(keyOf()), status }));
      expect(stateOf(viewOf({ key }), 0)).toBe("DISABLED");
      expect(stateOf(viewOf({ parent: key }), 0)).toBe("DISABLED");
    },
  );

  it.each([WireAccountStatus.UNSPECIFIED, 99])(
    "stops the keys of an account whose status %s this version does not know",
    (status) => {
      const account = accountNode(create(AccountStateSchema, { ...accountState(accountOf({})), status }));
      expect(stateOf(viewOf({ chain: [account, root] }), 0)).toBe("ACCOUNT_SUSPENDED");
    },
  );

  it.each([WireKeyKind.UNSPECIFIED, 99])(
    "takes a key of a kind %s that this version does not know for one of the least reach",
    (kind) => {
      expect(keyNode(create(KeyStateSchema, { ...keyState(keyOf()), kind })).kind).toBe("SUB");
    },
  );
});
