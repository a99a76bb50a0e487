import { KeyKind, LeakPolicy } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEFAULT_PLAN } from "../src/index.ts";
import { badFieldsOf, type Caller, reasonOf, type System, startSystem, timely } from "./system.ts";

let system: System;

beforeAll(async () => {
  system = await startSystem({ plan: { ...DEFAULT_PLAN, depth: 3 } });
  const { types } = system.root;
  await types.createType({ name: "open-type", open: true }, timely);
  await types.createType({ name: "trader", scopeCeiling: ["orders.**", "gatehouse.*.read"] }, timely);
  await types.createType({ name: "custodian" }, timely);
});
afterAll(() => system?.stop());

async function organization(name: string) {
  const made = await system.root.accounts.createAccount({ name }, timely);
  return { ...made, id: made.account!.id, master: system.as(made.secret) };
}

async function subaccount(master: Caller, request: { name: string; parent?: string; type?: string }) {
  const firstKey = { roles: ["administrator"] };
  const made = await master.accounts.createAccount({ ...request, firstKey }, timely);
  return { ...made, id: made.account!.id, own: system.as(made.secret) };
}

describe("account types", () => {
  it("are given at creation where they are open or enabled above, and are listed by", async () => {
    const { master, id } = await organization("Typed");
    const make = (request: { name: string; parent?: string; type: string }) =>
      master.accounts.createAccount(request, timely);
    expect(await badFieldsOf(make({ name: "a", type: "unknown" }))).toEqual(["type"]);
    expect(await badFieldsOf(make({ name: "a", type: "No Type" }))).toEqual(["type"]);
    expect(await reasonOf(make({ name: "a", type: "trader" }))).toBe("TYPE_NOT_ENABLED");
    expect((await make({ name: "open", type: "open-type" })).account!.type).toBe("open-type");

    const enabled = await system.root.accounts.enableType({ account: id, type: "trader" }, timely);
    expect(enabled.account!.enabledTypes).toEqual(["trader"]);
    const desk = await make({ name: "desk", type: "trader" });
    await make({ name: "below", parent: "open", type: "trader" });
    expect(await reasonOf(make({ name: "a", type: "custodian" }))).toBe("TYPE_NOT_ENABLED");
    const traders = async (descendants: boolean) =>
      (await master.accounts.listAccounts({ type: "trader", descendants }, timely)).accounts.map(
        ({ name }) => name,
      );
    expect(await traders(false)).toEqual(["desk"]);
    expect(await traders(true)).toEqual(["desk", "below"]);
    expect(await badFieldsOf(master.accounts.listAccounts({ type: "No Type" }, timely))).toEqual(["type"]);
    const page = await master.accounts.listAccounts(
      { type: "trader", descendants: true, pageSize: 1 },
      timely,
    );
    const { nextPageToken: pageToken } = page;
    const other = master.accounts.listAccounts({ descendants: true, pageSize: 1, pageToken }, timely);
    expect(await badFieldsOf(other)).toEqual(["page_token"]);

    // The type's ceiling binds what is made of it.
    const trader = system.as(desk.secret);
    expect(
      await reasonOf(trader.accounts.updateAccount({ account: "desk", labels: { a: "b" } }, timely)),
    ).toBe("SCOPE_DENIED");
    expect(await reasonOf(trader.accounts.getAccount({}, timely))).toBe("OK");

    const disabled = await system.root.accounts.disableType({ account: id, type: "trader" }, timely);
    expect(disabled.account!.enabledTypes).toEqual([]);
    expect(await reasonOf(make({ name: "late", type: "trader" }))).toBe("TYPE_NOT_ENABLED");
    expect((await master.accounts.getAccount({ account: "desk" }, timely)).account!.type).toBe("trader");
  });

  it("are the provider's to use, and passed on by who has them", async () => {
    const direct = await system.root.accounts.createAccount({ name: "Direct", type: "custodian" }, timely);
    expect(direct.account!.type).toBe("custodian");
    const { master, id } = await organization("Passing");
    const child = await subaccount(master, { name: "child" });
    const enable = (caller: Caller, account: string, type = "trader") =>
      caller.accounts.enableType({ account, type }, timely);
    expect(await reasonOf(enable(master, id))).toBe("OWN_CEILING");
    expect(await reasonOf(enable(child.own, child.id))).toBe("OWN_CEILING");
    expect(await reasonOf(enable(system.root, "provider"))).toBe("OWN_CEILING");
    expect(await reasonOf(enable(master, child.id))).toBe("TYPE_NOT_ENABLED");
    expect(await reasonOf(enable(master, child.id, "open-type"))).toBe("OK");
    await enable(system.root, child.id, "custodian");
    const made = await child.own.accounts.createAccount({ name: "vault", type: "custodian" }, timely);
    expect(made.account!.type).toBe("custodian");
    // Enabled for the child is not enabled beside it.
    expect(await reasonOf(master.accounts.createAccount({ name: "vault", type: "custodian" }, timely))).toBe(
      "TYPE_NOT_ENABLED",
    );
    await enable(system.root, id);
    expect((await enable(master, child.id)).account!.enabledTypes).toEqual([
      "custodian",
      "open-type",
      "trader",
    ]);
    expect(await reasonOf(master.accounts.disableType({ account: id, type: "trader" }, timely))).toBe(
      "OWN_CEILING",
    );
    const { account } = await master.accounts.disableType({ account: "child", type: "custodian" }, timely);
    expect(account!.enabledTypes).toEqual(["open-type", "trader"]);
  });

  it("are named, and are no more than 50 of an account", async () => {
    const { id } = await organization("Full");
    const { accounts } = system.root;
    expect(await badFieldsOf(accounts.enableType({}, timely))).toEqual(["account", "type"]);
    expect(await badFieldsOf(accounts.enableType({ account: id, type: "unknown" }, timely))).toEqual([
      "type",
    ]);
    expect(await badFieldsOf(accounts.disableType({ account: id, type: "unknown" }, timely))).toEqual([
      "type",
    ]);
    const once = await accounts.enableType({ account: id, type: "trader" }, timely);
    expect((await accounts.enableType({ account: id, type: "trader" }, timely)).account).toEqual(
      once.account,
    );
    const fifty = Array.from({ length: 50 }, (_, n) => `type-${n}`);
    await system.sql.query("UPDATE account SET enabled_types = $2 WHERE id = $1", [id, fifty]);
    expect(await reasonOf(accounts.enableType({ account: id, type: "custodian" }, timely))).toBe(
      "PLAN_LIMIT",
    );
    // One that the provider no longer has can be taken back all the same.
    const less = await accounts.disableType({ account: id, type: "type-7" }, timely);
    expect(less.account!.enabledTypes).toHaveLength(49);
  });

  it("are not deleted while an account is being made of them", async () => {
    const { master } = await organization("Racing");
    await system.root.types.createType({ name: "passing", open: true }, timely);
    await Promise.all([
      ...["a", "b", "c"].map((name) =>
        reasonOf(master.accounts.createAccount({ name, type: "passing" }, timely)),
      ),
      reasonOf(system.root.types.deleteType({ type: "passing" }, timely)),
    ]);
    const { rows } = await system.sql.query(
      `SELECT count(*) FROM account WHERE type <> ''
       AND NOT EXISTS (SELECT FROM definition WHERE kind = 'type' AND name = account.type)`,
    );
    expect(rows[0].count).toBe("0");
  });
});

describe("a scope ceiling", () => {
  it("binds all keys of an account and below, whatever they were given, until it is lifted", async () => {
    const { master } = await organization("Bound");
    const child = await subaccount(master, { name: "child" });
    const below = await subaccount(child.own, { name: "below" });
    const set = (caller: Caller, account: string, scopes: string[]) =>
      caller.accounts.setScopeCeiling({ account, scopes }, timely);
    const { head } = await system.feed.getHead({}, timely);
    const { account } = await set(master, "child", ["gatehouse.*.read", "orders.**"]);
    expect(account!.scopeCeiling).toEqual(["gatehouse.*.read", "orders.**"]);
    for (const { own } of [child, below]) {
      expect(await reasonOf(own.accounts.getAccount({}, timely))).toBe("OK");
      expect(await reasonOf(own.keys.createKey({ name: "k" }, timely))).toBe("SCOPE_DENIED");
    }
    expect((await set(master, "child", ["gatehouse.*.read", "orders.**"])).account).toEqual(account);
    const lifted = await set(master, "child", []);
    expect(lifted.account!.scopeCeiling).toEqual([]);
    for (const { own } of [child, below]) {
      expect(await reasonOf(own.keys.createKey({ name: "k" }, timely))).toBe("OK");
    }
    const { changes } = await system.feed.listChanges({ after: head! }, timely);
    expect(changes.filter(({ entity }) => entity.case === "account")).toHaveLength(2);
  });

  it("is set from strictly above, of scopes that can be read", async () => {
    const { master, id } = await organization("Above");
    const child = await subaccount(master, { name: "child" });
    const set = (caller: Caller, account: string, scopes: string[] = ["a.**"]) =>
      caller.accounts.setScopeCeiling({ account, scopes }, timely);
    expect(await reasonOf(set(child.own, child.id, []))).toBe("OWN_CEILING");
    expect(await reasonOf(set(child.own, id))).toBe("NOT_FOUND");
    expect(await reasonOf(set(master, id))).toBe("OWN_CEILING");
    expect(await reasonOf(set(system.root, "provider"))).toBe("OWN_CEILING");
    expect(await badFieldsOf(set(master, "child", ["a.**", "a..b"]))).toEqual(["scopes[1]"]);
    expect(await badFieldsOf(set(master, "child", Array(201).fill("a")))).toEqual(["scopes"]);
    expect(await reasonOf(set(system.root, id))).toBe("OK");
  });
});

describe("settings", () => {
  it("of leaks are for master keys to set, and can be left to those above again", async () => {
    const { master } = await organization("Leaky");
    const child = await subaccount(master, { name: "child" });
    const set = (caller: Caller, leakPolicy: LeakPolicy) =>
      caller.accounts.updateSettings({ account: child.id, leakPolicy }, timely);
    const key = { account: child.id, name: "own master", kind: KeyKind.MASTER, roles: ["administrator"] };
    const own = system.as((await master.keys.createKey(key, timely)).secret);
    await set(own, LeakPolicy.DISABLE);
    expect(await reasonOf(set(child.own, LeakPolicy.NOTIFY))).toBe("KEY_KIND_DENIED");
    const revoke = await set(master, LeakPolicy.REVOKE);
    expect(revoke.account!.settings).toMatchObject({ leakPolicy: LeakPolicy.REVOKE, isolated: false });
    const request = { account: "child", updateMask: { paths: ["leak_policy"] } };
    const unsaid = await master.accounts.updateSettings(request, timely);
    expect(unsaid.account!.settings).toMatchObject({ leakPolicy: LeakPolicy.UNSPECIFIED });
    expect((await master.accounts.updateSettings(request, timely)).account).toEqual(unsaid.account);
    const bad = { account: "child", leakPolicy: 99 as LeakPolicy };
    expect(await badFieldsOf(master.accounts.updateSettings(bad, timely))).toEqual(["leak_policy"]);
    expect(await badFieldsOf(master.accounts.updateSettings({}, timely))).toEqual(["update_mask"]);
  });

  it("isolate an account's keys from what is below it, from strictly above", async () => {
    const { master, id } = await organization("Isolated");
    const child = await subaccount(master, { name: "child" });
    expect(await reasonOf(master.accounts.updateSettings({ isolated: true }, timely))).toBe("OWN_CEILING");
    const isolate = (isolated: boolean) =>
      system.root.accounts.updateSettings(
        { account: id, isolated, updateMask: { paths: ["isolated"] } },
        timely,
      );
    const { account } = await isolate(true);
    expect(account!.settings!.isolated).toBe(true);
    expect(await reasonOf(master.accounts.getAccount({ account: child.id }, timely))).toBe("NOT_FOUND");
    expect(await reasonOf(master.accounts.suspendAccount({ account: child.id }, timely))).toBe("NOT_FOUND");
    expect((await master.accounts.listAccounts({ descendants: true }, timely)).accounts).toEqual([]);
    expect(await reasonOf(child.own.accounts.getAccount({}, timely))).toBe("OK");
    expect(await reasonOf(system.root.accounts.getAccount({ account: child.id }, timely))).toBe("OK");
    await isolate(false);
    expect(await reasonOf(master.accounts.getAccount({ account: child.id }, timely))).toBe("OK");
  });

  it("say what imported keys begin with, on the provider's account", async () => {
    const { master } = await organization("Imports");
    const set = (importPrefixes: string[], caller = system.root) =>
      caller.accounts.updateSettings({ importPrefixes, updateMask: { paths: ["import_prefixes"] } }, timely);
    expect(await badFieldsOf(set(["sk_live"], master))).toEqual(["import_prefixes"]);
    const { account } = await set(["sk_live_", "pk-"]);
    expect(account!.settings!.importPrefixes).toEqual(["sk_live_", "pk-"]);
    const at = (...indexes: number[]) => indexes.map((index) => `import_prefixes[${index}]`);
    expect(await badFieldsOf(set(["x", "a".repeat(21), "sk.", "ok"]))).toEqual(at(0, 1, 2));
    expect(await badFieldsOf(set(["gth_acc", "gth_", "gt", "gx"]))).toEqual(at(0, 1, 2));
    expect(await badFieldsOf(set(["sk_live", "sk_", "pk", "pk"]))).toEqual(at(0, 2, 3));
    expect(await badFieldsOf(set(Array.from({ length: 21 }, (_, n) => `p${n}x`)))).toEqual([
      "import_prefixes",
    ]);
    expect((await set([])).account!.settings!.importPrefixes).toEqual([]);
    const { rows } = await system.sql.query(
      `SELECT before->'importPrefixes' AS before, after->'importPrefixes' AS after FROM audit_event
       WHERE action = 'gatehouse.accounts.update-settings' AND target = $1 AND outcome = 'OK' ORDER BY id`,
      [account!.id],
    );
    expect(rows).toEqual([
      { before: [], after: ["sk_live_", "pk-"] },
      { before: ["sk_live_", "pk-"], after: [] },
    ]);
  });
});
