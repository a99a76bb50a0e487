import { KeyKind, PlanFeature } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { badFieldsOf, type Caller, reasonOf, type System, startSystem, timely } from "./system.ts";

let system: System;

beforeAll(async () => {
  system = await startSystem();
  const { plans } = system.root;
  const features = [PlanFeature.SUB_KEYS];
  await plans.createPlan(
    { name: "small", features, depth: 1, accounts: 1n, keysPerAccount: 2n, subKeysPerAccount: 1n },
    timely,
  );
  await plans.createPlan(
    { name: "large", features, depth: 3, accounts: 9n, keysPerAccount: 9n, subKeysPerAccount: 9n },
    timely,
  );
});
afterAll(() => system?.stop());

async function organization(name: string, plan = "") {
  const made = await system.root.accounts.createAccount({ name, plan }, timely);
  return { ...made, id: made.account!.id, master: system.as(made.secret) };
}

async function subaccount(master: Caller, name: string, parent = "") {
  const firstKey = { roles: ["administrator"] };
  const made = await master.accounts.createAccount({ name, parent, firstKey }, timely);
  return { ...made, id: made.account!.id, own: system.as(made.secret) };
}

function eventsOf(accountId: string) {
  return system.sql.query("SELECT outcome FROM audit_event WHERE target = $1 AND action = $2 ORDER BY id", [
    accountId,
    "gatehouse.accounts.update",
  ]);
}

describe("updating an account", () => {
  it("replaces the profile and the labels that are given, by the account itself or from above", async () => {
    const { master } = await organization("Profiled");
    const { own, id } = await subaccount(master, "child");
    const first = await own.accounts.updateAccount(
      { account: id, profile: { company: "ACME", zipCode: "8000" }, labels: { tier: "gold" } },
      timely,
    );
    expect(first.account).toMatchObject({
      profile: { company: "ACME", zipCode: "8000" },
      labels: { tier: "gold" },
    });
    const second = await master.accounts.updateAccount(
      { account: "child", profile: { city: "Bern" } },
      timely,
    );
    expect(second.account).toMatchObject({
      profile: { company: "", city: "Bern" },
      labels: { tier: "gold" },
    });
    const found = await master.accounts.listAccounts({ labels: { tier: "gold" } }, timely);
    expect(found.accounts.map((account) => account.id)).toEqual([id]);
    const cleared = await master.accounts.updateAccount(
      { account: "child", updateMask: { paths: ["labels", "profile"] } },
      timely,
    );
    expect(cleared.account).toMatchObject({ profile: { city: "" }, labels: {} });

    const { rows } = await eventsOf(id);
    const nothing = await master.accounts.updateAccount(
      { account: "child", updateMask: { paths: ["labels"] } },
      timely,
    );
    expect(nothing.account).toEqual(cleared.account);
    expect((await eventsOf(id)).rows).toHaveLength(rows.length);
  });

  it("says all that is wrong at once", async () => {
    const { master, id } = await organization("Wrong");
    const update = (request: object) =>
      badFieldsOf(master.accounts.updateAccount({ account: id, ...request }, timely));
    expect(await update({})).toEqual(["update_mask"]);
    expect(await badFieldsOf(master.accounts.updateAccount({}, timely))).toEqual(["account", "update_mask"]);
    expect(await update({ updateMask: { paths: ["slug", "labels"] } })).toEqual(["update_mask"]);
    expect(await update({ updateMask: { paths: Array(60).fill("labels") } })).toEqual(["update_mask"]);
    const many = Object.fromEntries(Array.from({ length: 10_000 }, (_, n) => [`l${n}`, ""]));
    const request = { profile: { zipCode: "x".repeat(201), vat: "a\u0000" }, labels: many, plan: "No Plan" };
    expect(await update(request)).toEqual(["plan", "profile.vat", "profile.zip_code", "labels"]);
  });

  it("gives an organization another plan, from the provider alone", async () => {
    const { master, id } = await organization("Planned", "large");
    const child = await subaccount(master, "child");
    const grandchild = await subaccount(master, "grand", "child");
    const plan = (caller: Caller, account: string, name = "small") =>
      caller.accounts.updateAccount({ account, plan: name }, timely);
    expect(await reasonOf(plan(master, id))).toBe("OWN_CEILING");
    expect(await badFieldsOf(plan(system.root, child.id))).toEqual(["plan"]);
    expect(await badFieldsOf(plan(master, child.id))).toEqual(["plan"]);
    expect(await badFieldsOf(plan(system.root, "provider"))).toEqual(["plan"]);
    expect(await badFieldsOf(plan(system.root, id, "nowhere"))).toEqual(["plan"]);
    const noPlan = system.root.accounts.updateAccount(
      { account: id, updateMask: { paths: ["plan"] } },
      timely,
    );
    expect(await badFieldsOf(noPlan)).toEqual(["plan"]);

    const { head } = await system.feed.getHead({}, timely);
    const { account } = await plan(system.root, id);
    expect(account).toMatchObject({ id, plan: "small" });
    for (const below of [child.id, grandchild.id]) {
      expect((await master.accounts.getAccount({ account: below }, timely)).account!.plan).toBe("small");
    }
    const listed = await system.root.accounts.listAccounts({ descendants: true, pageSize: 500 }, timely);
    const plans = listed.accounts.filter((each) => each.organizationId === id).map(({ plan }) => plan);
    expect(plans).toEqual(["small", "small", "small"]);
    const own = await master.accounts.listAccounts({ descendants: true }, timely);
    expect(own.accounts.map(({ plan }) => plan)).toEqual(["small", "small"]);
    // However many accounts the organization has, one has changed.
    const { changes } = await system.feed.listChanges({ after: head! }, timely);
    expect(changes.map(({ entity }) => entity.value)).toMatchObject([{ id, plan: "small" }]);
  });

  it("to a smaller plan keeps what is in use and blocks growth, to a larger lets grow again", async () => {
    const { master, id } = await organization("Shrinking", "large");
    const child = await subaccount(master, "child");
    const grandchild = await subaccount(master, "grand", "child");
    for (const name of ["k1", "k2", "k3"]) await master.keys.createKey({ name, account: child.id }, timely);
    for (const name of ["s1", "s2"]) {
      await child.own.keys.createKey({ name, kind: KeyKind.SUB }, timely);
    }
    await system.root.accounts.updateAccount({ account: id, plan: "small" }, timely);
    const usage = await master.accounts.getPlanUsage({ account: "child" }, timely);
    expect(usage).toMatchObject({
      plan: "small",
      accounts: { used: 2n, maximum: 1n },
      keys: { used: 4n, maximum: 2n },
      subKeys: { used: 2n, maximum: 1n },
      depth: { used: 1n, maximum: 1n },
    });
    const below = await master.accounts.getPlanUsage({ account: grandchild.id }, timely);
    expect(below.depth).toMatchObject({ used: 2n, maximum: 1n });
    await grandchild.own.keys.whoAmI({}, timely);
    const grow = () =>
      Promise.all(
        [
          master.accounts.createAccount({ name: "more" }, timely),
          master.keys.createKey({ name: "more", account: child.id }, timely),
          child.own.keys.createKey({ name: "more sub", kind: KeyKind.SUB }, timely),
          child.own.accounts.createAccount({ name: "deeper" }, timely),
        ].map(reasonOf),
      );
    expect(await grow()).toEqual(["PLAN_LIMIT", "PLAN_LIMIT", "PLAN_LIMIT", "PLAN_DEPTH"]);
    await system.root.accounts.updateAccount({ account: id, plan: "large" }, timely);
    expect(await grow()).toEqual(["OK", "OK", "OK", "OK"]);
  });

  it("a plan is not deleted while an organization is being given it", async () => {
    await system.root.plans.createPlan({ name: "passing" }, timely);
    const organizations = await Promise.all(["r1", "r2", "r3"].map((name) => organization(name)));
    const outcomes = await Promise.all([
      ...organizations.map(({ id }) =>
        reasonOf(system.root.accounts.updateAccount({ account: id, plan: "passing" }, timely)),
      ),
      reasonOf(system.root.plans.deletePlan({ plan: "passing" }, timely)),
    ]);
    const { rows } = await system.sql.query(
      `SELECT count(*) FROM account WHERE plan <> ''
       AND NOT EXISTS (SELECT FROM definition WHERE kind = 'plan' AND name = account.plan)`,
    );
    expect(rows[0].count, outcomes.join()).toBe("0");
  });
});

describe("what a plan has and what of it is used", () => {
  it("is counted of the account that is named, and of the whole organization only for who sees it", async () => {
    const { master, id } = await organization("Counted", "large");
    const child = await subaccount(master, "child");
    await subaccount(master, "other");
    const { key } = await child.own.keys.createKey({ name: "disabled" }, timely);
    await child.own.keys.disableKey({ key: key!.id }, timely);
    await child.own.keys.createKey({ name: "sub", kind: KeyKind.SUB }, timely);
    const own = await child.own.accounts.getPlanUsage({}, timely);
    expect(own).toMatchObject({
      plan: "large",
      keys: { used: 1n, maximum: 9n },
      subKeys: { used: 1n, maximum: 9n },
      depth: { used: 1n, maximum: 3n },
    });
    expect(own.accounts).toBeUndefined();
    const above = await master.accounts.getPlanUsage({}, timely);
    expect(above).toMatchObject({
      accounts: { used: 2n, maximum: 9n },
      keys: { used: 1n },
      subKeys: { used: 0n },
      depth: { used: 0n },
    });
    const named = await system.root.accounts.getPlanUsage({ account: "counted/child" }, timely);
    expect(named).toMatchObject({ accounts: { used: 2n }, keys: { used: 1n } });
    expect(await reasonOf(child.own.accounts.getPlanUsage({ account: id }, timely))).toBe("NOT_FOUND");
  });

  it("is nothing for the provider, who has no plan", async () => {
    const usage = await system.root.accounts.getPlanUsage({}, timely);
    expect(usage).toMatchObject({ plan: "" });
    expect([usage.accounts, usage.keys, usage.subKeys, usage.depth]).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });
});
