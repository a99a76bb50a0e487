import { KeyKind } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { badFieldsOf, type System, startSystem, timely } from "./system.ts";

let system: System;

beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system?.stop());

const long = "x".repeat(300);
const labels = Object.fromEntries(Array.from({ length: 33 }, (_, n) => [`l${n}`, ""]));

describe("bad input", () => {
  it("is refused with every bad field named at once, by every RPC", async () => {
    const { accounts, keys, meters } = system.root;
    const all = await Promise.all([
      badFieldsOf(
        accounts.createAccount(
          {
            parent: long,
            name: "a\u0000b",
            slug: "Not-Kebab",
            plan: "Gold!",
            profile: { city: long, zipCode: "\n" },
            labels,
            firstKey: { name: "?", kind: KeyKind.SUB, roles: ["King!"], scopes: ["a..b"] },
            idempotencyKey: long,
          },
          timely,
        ),
      ),
      badFieldsOf(accounts.getAccount({ account: long }, timely)),
      badFieldsOf(
        accounts.listAccounts(
          { parent: long, status: 9 as never, labels, pageSize: 501, pageToken: "?" },
          timely,
        ),
      ),
      badFieldsOf(accounts.suspendAccount({ reason: long }, timely)),
      badFieldsOf(accounts.resumeAccount({}, timely)),
      badFieldsOf(
        keys.createKey(
          {
            account: long,
            parentKey: "key_0",
            kind: KeyKind.MASTER,
            name: "",
            roles: ["auditor", "King!"],
            scopes: ["fine", "**.x"],
            labels: { "": "x" },
            notBefore: { seconds: -1n, nanos: 0 },
            expiresAt: { seconds: 253_402_300_800n, nanos: 0 },
            idempotencyKey: "\u0001",
          },
          timely,
        ),
      ),
      badFieldsOf(keys.getKey({}, timely)),
      badFieldsOf(
        keys.listKeys({ account: long, status: 7 as never, kind: 8 as never, pageSize: -1 }, timely),
      ),
      badFieldsOf(keys.disableKey({ key: long }, timely)),
      badFieldsOf(keys.enableKey({}, timely)),
      badFieldsOf(keys.revokeKey({ key: "a\u0000" }, timely)),
      badFieldsOf(meters.createMeter({ name: "9", title: long, unit: long }, timely)),
      badFieldsOf(meters.getMeter({}, timely)),
      badFieldsOf(system.feed.listChanges({ limit: 1001 }, timely)),
      badFieldsOf(system.feed.resolveKeys({}, timely)),
      badFieldsOf(system.feed.resolveAccounts({ names: [{ organizationId: long }] }, timely)),
    ]);
    expect(all.map((fields) => fields.sort())).toEqual([
      [
        "first_key.kind",
        "first_key.name",
        "first_key.roles[0]",
        "first_key.scopes[0]",
        "idempotency_key",
        "labels",
        "name",
        "parent",
        "plan",
        "profile.city",
        "profile.zip_code",
        "slug",
      ],
      ["account"],
      ["labels", "page_size", "page_token", "parent", "status"],
      ["account", "reason"],
      ["account"],
      [
        "account",
        "expires_at",
        "idempotency_key",
        "labels",
        "name",
        "not_before",
        "parent_key",
        "roles[1]",
        "scopes[1]",
      ],
      ["key"],
      ["account", "kind", "page_size", "status"],
      ["key"],
      ["key"],
      ["key"],
      ["name", "title", "unit"],
      ["meter"],
      ["after", "limit"],
      ["key_ids"],
      ["names[0].account", "names[0].organization_id"],
    ]);
  });

  it("what is foreign answers with the same bytes as what does not exist", async () => {
    const one = await system.root.accounts.createAccount({ name: "one" }, timely);
    const other = await system.root.accounts.createAccount({ name: "other" }, timely);
    const asks: [method: string, body: (id: string) => object, foreign: string, missing: string][] = [];
    const [accountId, keyId] = [other.account!.id, other.key!.id];
    const [noAccount, noKey] = [`${accountId.slice(0, -6)}000000`, `${keyId.slice(0, -6)}000000`];
    const { id: provider } = (await system.root.accounts.getAccount({}, timely)).account!;
    for (const [foreign, missing] of [
      [accountId, noAccount],
      [provider, noAccount],
      ["other", "nowhere"],
      ["one/other", "one/nowhere"],
    ] as const) {
      asks.push(["AccountService/GetAccount", (account) => ({ account }), foreign, missing]);
      asks.push(["AccountService/ListAccounts", (parent) => ({ parent }), foreign, missing]);
      asks.push(["AccountService/CreateAccount", (parent) => ({ parent, name: "x" }), foreign, missing]);
      asks.push(["AccountService/SuspendAccount", (account) => ({ account }), foreign, missing]);
      asks.push(["AccountService/ResumeAccount", (account) => ({ account }), foreign, missing]);
      asks.push(["KeyService/CreateKey", (account) => ({ account, name: "x" }), foreign, missing]);
      asks.push(["KeyService/ListKeys", (account) => ({ account }), foreign, missing]);
    }
    asks.push(["KeyService/CreateKey", (parentKey) => ({ parentKey, name: "x" }), keyId, noKey]);
    for (const method of ["GetKey", "DisableKey", "EnableKey", "RevokeKey"]) {
      asks.push([`KeyService/${method}`, (key) => ({ key }), keyId, noKey]);
    }
    for (const [method, body, foreign, missing] of asks) {
      const answers = [
        await system.json(one.secret, method, body(foreign)),
        await system.json(one.secret, method, body(missing)),
      ];
      expect(answers[0]!.status, method).toBe(404);
      expect(answers[0], method).toEqual(answers[1]);
    }
    // The same asks are answered where they are in reach, so it is reach that refuses them.
    expect((await system.json(other.secret, "KeyService/GetKey", { key: keyId })).status).toBe(200);
  });
});
