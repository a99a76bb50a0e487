import { KeyKind, KeyStatus } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEFAULT_PLAN } from "../src/index.ts";
import { reasonOf, type System, startSystem, timely } from "./system.ts";

let system: System;

beforeAll(async () => {
  system = await startSystem({
    plan: { ...DEFAULT_PLAN, depth: 1, accounts: 4, keysPerAccount: 3, subKeysPerAccount: 2 },
  });
});
afterAll(() => system?.stop());

function organization(name: string) {
  return system.root.accounts.createAccount({ name }, timely);
}

describe("accounts and keys", () => {
  it("an organization comes with a master key, its subaccount with an account key, which makes a sub-key", async () => {
    const acme = await organization("Ácme & Söhne");
    expect(acme.account).toMatchObject({
      slug: "acme-sohne",
      organizationId: acme.account!.id,
      plan: "default",
    });
    expect(acme.key).toMatchObject({ kind: KeyKind.MASTER, name: "first" });
    expect(acme.key!.roles).toEqual(["administrator", "fund-manager", "developer", "auditor"]);

    const master = system.as(acme.secret);
    const lab = await master.accounts.createAccount(
      { name: "Lab", firstKey: { roles: ["administrator"] } },
      timely,
    );
    expect(lab.account).toMatchObject({
      slug: "lab",
      organizationId: acme.account!.id,
      parentId: acme.account!.id,
    });
    expect(lab.key).toMatchObject({ kind: KeyKind.ACCOUNT, roles: ["administrator"] });

    const account = system.as(lab.secret);
    const sub = await account.keys.createKey({ name: "bot", kind: KeyKind.SUB }, timely);
    expect(sub.key).toMatchObject({ parentKeyId: lab.key!.id, scopes: ["**"], accountId: lab.account!.id });
    const bot = system.as(sub.secret);
    const me = await bot.keys.whoAmI({}, timely);
    expect(me).toMatchObject({ accountSlug: "lab", organizationId: acme.account!.id });
    expect(JSON.stringify(me, (_, value) => (typeof value === "bigint" ? `${value}` : value))).not.toContain(
      sub.secret,
    );
    expect(await reasonOf(bot.keys.createKey({ name: "more" }, timely))).toBe("KEY_KIND_DENIED");
    expect(await reasonOf(bot.accounts.createAccount({ name: "more" }, timely))).toBe("KEY_KIND_DENIED");
    expect(await reasonOf(account.accounts.createAccount({ name: "deeper" }, timely))).toBe("PLAN_DEPTH");

    await master.keys.disableKey({ key: lab.key!.id }, timely);
    expect(await reasonOf(bot.keys.whoAmI({}, timely))).toBe("KEY_DISABLED");
    await master.keys.enableKey({ key: lab.key!.id }, timely);
    await master.accounts.suspendAccount({ account: "lab", reason: "ABUSE" }, timely);
    expect(await reasonOf(bot.keys.whoAmI({}, timely))).toBe("ACCOUNT_SUSPENDED");
    expect(await reasonOf(master.keys.createKey({ account: "lab", name: "x" }, timely))).toBe(
      "ACCOUNT_INACTIVE",
    );
    await master.accounts.resumeAccount({ account: "lab" }, timely);
    await bot.keys.whoAmI({}, timely);
    await master.keys.revokeKey({ key: lab.key!.id }, timely);
    expect(await reasonOf(bot.keys.whoAmI({}, timely))).toBe("CREDENTIAL_INVALID");
    const { key } = await master.keys.getKey({ key: sub.key!.id }, timely);
    expect(key!.status).toBe(KeyStatus.REVOKED);
    expect(await reasonOf(master.keys.enableKey({ key: sub.key!.id }, timely))).toBe("FINAL_STATE");
    // Its name is free again.
    await master.keys.createKey({ account: "lab", name: "bot" }, timely);
  });

  it("slugs are numbered when derived, refused when asked for and taken, and name accounts", async () => {
    const first = await organization("Slug");
    const second = await organization("slug!");
    expect([first.account!.slug, second.account!.slug]).toEqual(["slug", "slug-2"]);
    const clash = system.root.accounts.createAccount({ name: "Other", slug: "slug" }, timely);
    expect(await reasonOf(clash)).toBe("SLUG_TAKEN");
    const master = system.as(first.secret);
    // Another organization's slugs are no hindrance, and the organization's own is looked up last.
    const child = await master.accounts.createAccount({ name: "slug-2" }, timely);
    const named = await system.root.accounts.getAccount({ account: "slug/slug-2" }, timely);
    expect(named.account!.id).toBe(child.account!.id);
    expect((await master.accounts.getAccount({ account: "slug-2" }, timely)).account!.id).toBe(
      child.account!.id,
    );
    expect((await master.accounts.getAccount({ account: "slug" }, timely)).account!.id).toBe(
      first.account!.id,
    );
    expect((await organization("漢字")).account!.slug).toBe("account");
  });

  it("nobody grants what they do not hold, mints above their kind, or stops what they stand on", async () => {
    const { secret, key, account } = await organization("Grants");
    const master = system.as(secret);
    const limited = await master.keys.createKey({ name: "limited", roles: ["administrator"] }, timely);
    const admin = system.as(limited.secret);
    const credits = admin.keys.createKey({ name: "credits", scopes: ["gatehouse.credits.read"] }, timely);
    expect(await reasonOf(credits)).toBe("GRANT_EXCEEDS_HOLDER");
    const within = admin.keys.createKey({ name: "within", kind: KeyKind.SUB, parentKey: key!.id }, timely);
    expect(await reasonOf(within)).toBe("GRANT_EXCEEDS_HOLDER");
    await admin.keys.createKey({ name: "trader", scopes: ["orders.**"] }, timely);
    const above = admin.keys.createKey({ name: "up", kind: KeyKind.MASTER }, timely);
    expect(await reasonOf(above)).toBe("KEY_KIND_DENIED");
    expect(await reasonOf(admin.keys.revokeKey({ key: key!.id }, timely))).toBe("KEY_KIND_DENIED");
    expect(await reasonOf(master.keys.disableKey({ key: key!.id }, timely))).toBe("SELF_LOCKOUT");
    const self = master.accounts.suspendAccount({ account: account!.id }, timely);
    expect(await reasonOf(self)).toBe("SELF_LOCKOUT");
    const rootItself = system.root.accounts.suspendAccount({ account: "provider" }, timely);
    expect(await reasonOf(rootItself)).toBe("SELF_LOCKOUT");
    // Default roles that the creator does not cover are left out of what it makes.
    const { key: child } = await admin.accounts.createAccount({ name: "child" }, timely);
    expect(child).toMatchObject({ kind: KeyKind.ACCOUNT, roles: ["developer"] });
  });

  it("a create is repeated under its idempotency key without a second effect", async () => {
    const { secret } = await organization("Again");
    const master = system.as(secret);
    const request = { name: "Child", labels: { b: "1", a: "2" }, idempotencyKey: "k" };
    const [one, two] = await Promise.all([
      master.accounts.createAccount(request, timely),
      master.accounts.createAccount({ ...request, labels: { a: "2", b: "1" } }, timely),
    ]);
    expect([one, two].map(({ replayed }) => replayed).sort()).toEqual([false, true]);
    expect(one.account!.id).toBe(two.account!.id);
    expect([one.secret, two.secret].filter((text) => text !== "")).toHaveLength(1);
    const other = master.accounts.createAccount({ ...request, name: "Else" }, timely);
    expect(await reasonOf(other)).toBe("IDEMPOTENCY_MISMATCH");
    const key = await master.keys.createKey({ name: "x", idempotencyKey: "k" }, timely);
    const again = await master.keys.createKey({ name: "x", idempotencyKey: "k" }, timely);
    expect(again).toMatchObject({ replayed: true, secret: "", key: { id: key.key!.id } });
  });

  it("two creates at the limit of the plan: one passes", async () => {
    const { secret } = await organization("Full");
    const master = system.as(secret);
    const keys = ["a", "b", "c", "d"].map((name) => reasonOf(master.keys.createKey({ name }, timely)));
    expect((await Promise.all(keys)).sort()).toEqual(["OK", "OK", "PLAN_LIMIT", "PLAN_LIMIT"]);
    const subs = ["e", "f", "g"].map((name) =>
      reasonOf(master.keys.createKey({ name, kind: KeyKind.SUB }, timely)),
    );
    expect((await Promise.all(subs)).sort()).toEqual(["OK", "OK", "PLAN_LIMIT"]);
    const accounts = [1, 2, 3, 4, 5].map((n) =>
      reasonOf(master.accounts.createAccount({ name: `n${n}` }, timely)),
    );
    expect((await Promise.all(accounts)).sort()).toEqual(["OK", "OK", "OK", "OK", "PLAN_LIMIT"]);
    // A disabled key leaves its place to another, and then finds it taken.
    const { keys: all } = await master.keys.listKeys({ kind: KeyKind.ACCOUNT }, timely);
    await master.keys.disableKey({ key: all[0]!.id }, timely);
    await master.keys.createKey({ name: "h" }, timely);
    expect(await reasonOf(master.keys.enableKey({ key: all[0]!.id }, timely))).toBe("PLAN_LIMIT");
  });

  it("lists page by page, and a token continues only its own list", async () => {
    const { secret } = await organization("Pages");
    const master = system.as(secret);
    for (const name of ["p1", "p2", "p3"])
      await master.accounts.createAccount({ name, labels: { n: name } }, timely);
    const names: string[] = [];
    let pageToken = "";
    do {
      const page = await master.accounts.listAccounts({ pageSize: 2, pageToken }, timely);
      names.push(...page.accounts.map(({ name }) => name));
      pageToken = page.nextPageToken;
      if (pageToken !== "") {
        const wrong = master.accounts.listAccounts({ pageSize: 2, pageToken, descendants: true }, timely);
        expect(await reasonOf(wrong)).toBe("INVALID_FIELD");
      }
    } while (pageToken !== "");
    expect(names).toEqual(["p1", "p2", "p3"]);
    const { accounts } = await master.accounts.listAccounts({ labels: { n: "p2" } }, timely);
    expect(accounts.map(({ name }) => name)).toEqual(["p2"]);
    const all = await system.root.accounts.listAccounts({ descendants: true, pageSize: 500 }, timely);
    expect(all.accounts.map(({ id }) => id)).toEqual(all.accounts.map(({ id }) => id).sort());
    expect(all.accounts.some(({ name }) => name === "p3")).toBe(true);
  });
});
