import { KeyKind } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { badFieldsOf, type Caller, reasonOf, type System, startSystem, timely } from "./system.ts";

let system: System;

beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system?.stop());

/** An organization, its master key, and a subaccount with a key that has every role but manages no money. */
async function organization(name: string) {
  const { account, secret } = await system.root.accounts.createAccount({ name }, timely);
  const master = system.as(secret);
  const child = await master.accounts.createAccount({ name: "child" }, timely);
  return { id: account!.id, master, childId: child.account!.id, child: system.as(child.secret) };
}

async function keyOf(master: Caller, wanted: object): Promise<Caller> {
  return system.as((await master.keys.createKey(wanted, timely)).secret);
}

describe("roles", () => {
  it("are an account's own, and the nearest of a name counts", async () => {
    const { id, master, childId, child } = await organization("nearest");
    const { role } = await master.roles.createRole(
      { name: "trader", title: "Trader", scopes: ["orders.**"] },
      timely,
    );
    expect(role).toMatchObject({ name: "trader", title: "Trader", scopes: ["orders.**"], accountId: id });
    expect(role!.id).toMatch(/^rol_.{20}$/);
    expect((await child.roles.getRole({ role: "trader" }, timely)).role).toEqual(role);
    const own = { account: childId, name: "trader", scopes: ["orders.read"] };
    const { role: nearer } = await master.roles.createRole(own, timely);
    expect((await child.roles.getRole({ role: "trader" }, timely)).role).toEqual(nearer);
    const { roles } = await child.roles.listRoles({}, timely);
    expect(roles.map(({ name, accountId, builtIn }) => [name, accountId, builtIn])).toEqual([
      ["administrator", "", true],
      ["auditor", "", true],
      ["developer", "", true],
      ["fund-manager", "", true],
      ["trader", childId, false],
    ]);
    expect((await child.roles.getRole({ role: "auditor" }, timely)).role).toMatchObject({
      builtIn: true,
      scopes: ["gatehouse.*.read"],
    });
    const { accounts } = await system.feed.resolveAccounts({ names: [{ account: childId }] }, timely);
    const node = accounts.find((account) => account.id === childId)!;
    expect(node.roles).toMatchObject([{ name: "trader", scopes: ["orders.read"] }]);
  });

  it("that a living master key has are changed, deleted and taken the place of by master keys only", async () => {
    const { master, childId } = await organization("masters");
    const scopes = ["gatehouse.roles.**", "weather.read"];
    await master.roles.createRole({ name: "boss", scopes }, timely);
    const kind = KeyKind.MASTER;
    const wanted = { name: "boss", kind, roles: ["boss"], account: childId };
    const boss = await master.keys.createKey(wanted, timely);
    const below = await keyOf(master, { name: "below", scopes, account: childId });
    const own = await keyOf(master, { name: "own", scopes });
    const all = async ({ roles }: Caller) => [
      await reasonOf(roles.updateRole({ role: "boss", scopes: ["weather.read"] }, timely)),
      await reasonOf(roles.deleteRole({ role: "boss" }, timely)),
    ];
    expect(await all(own)).toEqual(["KEY_KIND_DENIED", "KEY_KIND_DENIED"]);
    // A nearer one of that name would be what it stands for on keys below.
    const nearer = { name: "boss", scopes: ["weather.read"] };
    expect(await reasonOf(below.roles.createRole(nearer, timely))).toBe("KEY_KIND_DENIED");
    expect(await reasonOf(own.roles.createRole({ ...nearer, name: "other" }, timely))).toBe("OK");
    // Nor does a disabled one that somebody will enable lose what it may, but nobody else's names are held.
    await master.keys.disableKey({ key: boss.key!.id }, timely);
    expect(await all(own)).toEqual(["KEY_KIND_DENIED", "KEY_KIND_DENIED"]);
    const stranger = await organization("strangers");
    const theirs = await keyOf(stranger.master, { name: "theirs", scopes });
    expect(await reasonOf(theirs.roles.createRole(nearer, timely))).toBe("OK");

    expect(await reasonOf(master.roles.updateRole({ role: "boss", title: "Boss" }, timely))).toBe("OK");
    expect(await reasonOf(master.roles.createRole({ ...nearer, account: childId }, timely))).toBe("OK");
    await master.keys.revokeKey({ key: boss.key!.id }, timely);
    expect(await all(own)).toEqual(["OK", "OK"]);
  });

  it("bind keys at once: a key can do what its role stands for now", async () => {
    const { master } = await organization("at-once");
    await master.roles.createRole({ name: "watcher", scopes: ["gatehouse.accounts.read"] }, timely);
    const watcher = await keyOf(master, { name: "watcher", roles: ["watcher"] });
    const look = () => reasonOf(watcher.accounts.getAccount({}, timely));
    expect(await look()).toBe("OK");
    await master.roles.updateRole({ role: "watcher", scopes: ["gatehouse.keys.read"] }, timely);
    expect(await look()).toBe("SCOPE_DENIED");
    await master.roles.updateRole({ role: "watcher", scopes: ["gatehouse.**"] }, timely);
    expect(await look()).toBe("OK");
    await master.roles.deleteRole({ role: "watcher" }, timely);
    expect(await look()).toBe("SCOPE_DENIED");
  });

  it("give nobody what their maker does not hold, neither made, changed nor deleted", async () => {
    const { master, childId } = await organization("covered");
    await master.roles.createRole({ name: "clerk", scopes: ["gatehouse.roles.**"] }, timely);
    const clerk = await keyOf(master, { name: "clerk", roles: ["clerk"] });
    const wide = ["gatehouse.keys.create"];
    const denied = "GRANT_EXCEEDS_HOLDER";
    expect(await reasonOf(clerk.roles.createRole({ name: "wide", scopes: wide }, timely))).toBe(denied);
    // Its own role least of all.
    expect(await reasonOf(clerk.roles.updateRole({ role: "clerk", scopes: wide }, timely))).toBe(denied);
    const everythingBut = { name: "but", scopes: ["!orders.cancel"] };
    expect(await reasonOf(clerk.roles.createRole(everythingBut, timely))).toBe(denied);
    expect(await reasonOf(clerk.roles.createRole({ name: "api", scopes: ["orders.**"] }, timely))).toBe("OK");
    // Deleting a harmless role would uncover the strong one of the account above.
    await master.roles.createRole({ name: "hidden", scopes: wide }, timely);
    await master.roles.createRole({ account: childId, name: "hidden", scopes: ["a"] }, timely);
    const roles = { account: childId, name: "clerk", roles: ["clerk"] };
    const childClerk = await keyOf(master, roles);
    expect(await reasonOf(childClerk.roles.deleteRole({ role: "hidden" }, timely))).toBe(denied);
    expect(await reasonOf(master.roles.deleteRole({ account: childId, role: "hidden" }, timely))).toBe("OK");
  });

  it("of other organizations are not there, and names of built-in ones are taken", async () => {
    const one = await organization("one");
    const other = await organization("other");
    await one.master.roles.createRole({ name: "secret", scopes: ["a"] }, timely);
    const { roles } = other.master;
    const answers = await Promise.all([
      reasonOf(roles.getRole({ role: "secret" }, timely)),
      reasonOf(roles.getRole({ account: one.id, role: "secret" }, timely)),
      reasonOf(roles.listRoles({ account: one.id }, timely)),
      reasonOf(roles.createRole({ account: one.id, name: "x", scopes: ["a"] }, timely)),
      reasonOf(roles.updateRole({ account: one.id, role: "secret", scopes: ["a"] }, timely)),
      reasonOf(roles.deleteRole({ account: one.id, role: "secret" }, timely)),
      reasonOf(one.child.roles.deleteRole({ account: one.id, role: "secret" }, timely)),
    ]);
    expect(new Set(answers)).toEqual(new Set(["NOT_FOUND", "SCOPE_DENIED"]));
    expect(answers.slice(0, 6)).toEqual(Array(6).fill("NOT_FOUND"));
    expect(await badFieldsOf(roles.createRole({ name: "auditor", scopes: [] }, timely))).toEqual([
      "name",
      "scopes",
    ]);
    const clearing = { role: "secret", updateMask: { paths: ["scopes"] } };
    expect(await badFieldsOf(one.master.roles.updateRole(clearing, timely))).toEqual(["scopes"]);
    const many = Array.from({ length: 201 }, (_, n) => `a${n}`);
    const bad = { name: "x", scopes: [...many, "b..c"] };
    expect(await badFieldsOf(roles.createRole(bad, timely))).toContain("scopes");
    expect(await badFieldsOf(roles.createRole({ name: "x", scopes: ["b..c", "ok"] }, timely))).toEqual([
      "scopes[0]",
    ]);
  });

  it("take a plan that has scoping; what is there stays and can be deleted", async () => {
    const { root } = system;
    await root.plans.createPlan({ name: "plain" }, timely);
    const bought = await root.accounts.createAccount({ name: "plain", plan: "plain" }, timely);
    const master = system.as(bought.secret);
    const create = () => reasonOf(master.roles.createRole({ name: "r", scopes: ["a"] }, timely));
    expect(await create()).toBe("PLAN_FEATURE");
    await root.plans.updatePlan({ plan: "plain", features: [1] }, timely);
    expect(await create()).toBe("OK");
    await root.plans.updatePlan({ plan: "plain", updateMask: { paths: ["features"] } }, timely);
    expect(await reasonOf(master.roles.updateRole({ role: "r", scopes: ["b"] }, timely))).toBe(
      "PLAN_FEATURE",
    );
    expect(await reasonOf(master.roles.deleteRole({ role: "r" }, timely))).toBe("OK");
  });

  it("of a closed account stay as they are", async () => {
    const { master, childId } = await organization("closed");
    const role = { account: childId, name: "r", scopes: ["a"] };
    await master.roles.createRole(role, timely);
    await system.sql.query("UPDATE account SET status = 'CLOSED' WHERE id = $1", [childId]);
    const named = { account: childId, role: "r" };
    expect(await reasonOf(master.roles.updateRole({ ...named, scopes: ["b"] }, timely))).toBe("FINAL_STATE");
    expect(await reasonOf(master.roles.deleteRole(named, timely))).toBe("FINAL_STATE");
    expect(await reasonOf(master.roles.createRole({ ...role, name: "s" }, timely))).toBe("FINAL_STATE");
    expect((await master.roles.getRole(named, timely)).role).toMatchObject({ scopes: ["a"] });
  });

  it("of one account are at most 50 and 64 KiB, however many are made at once", async () => {
    const { master, childId } = await organization("many");
    const crowd = (from: number) =>
      Promise.all(
        Array.from({ length: 28 }, (_, n) =>
          reasonOf(master.roles.createRole({ name: `r${from + n}`, scopes: ["a"] }, timely)),
        ),
      );
    const outcomes = [...(await crowd(0)), ...(await crowd(28))];
    expect(outcomes.filter((outcome) => outcome === "OK")).toHaveLength(50);
    expect(outcomes.filter((outcome) => outcome === "PLAN_LIMIT")).toHaveLength(6);
    const { id: subject } = (await master.accounts.getAccount({}, timely)).account!;
    await expect(master.roles.createRole({ name: "late", scopes: ["a"] }, timely)).rejects.toMatchObject({
      quota: [{ subject: `account:${subject}`, description: "an account has at most 50 roles" }],
    });
    const segment = "x".repeat(60);
    const scopes = Array.from({ length: 200 }, (_, n) => `${segment}.${segment}.${segment}.${segment}.${n}`);
    const large = (name: string) =>
      reasonOf(master.roles.createRole({ account: childId, name, scopes }, timely));
    expect(await large("large")).toBe("OK");
    expect(await large("larger")).toBe("PLAN_LIMIT");
  });
});
