import { PlanFeature } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { badFieldsOf, reasonOf, type System, startSystem, timely } from "./system.ts";

let system: System;

beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system?.stop());

describe("plans", () => {
  it("have what `default` was born with where nothing is said, and no features", async () => {
    const { plan } = await system.root.plans.createPlan({ name: "silver", title: "Silver" }, timely);
    expect(plan).toMatchObject({
      depth: 1,
      accounts: 10_000n,
      keysPerAccount: 100n,
      subKeysPerAccount: 1000n,
      features: [],
    });
    expect(plan!.id).toMatch(/^pln_.{20}$/);
    const none = { name: "none", depth: 0, accounts: 0n, keysPerAccount: 1n, subKeysPerAccount: 0n };
    expect((await system.root.plans.createPlan(none, timely)).plan).toMatchObject(none);
  });

  it("stay within their bounds", async () => {
    const bad = {
      name: "Bad",
      depth: 11,
      accounts: -1n,
      keysPerAccount: 0n,
      subKeysPerAccount: 2n ** 62n,
      features: [PlanFeature.UNSPECIFIED, 99 as PlanFeature],
    };
    expect(await badFieldsOf(system.root.plans.createPlan(bad, timely))).toEqual([
      "name",
      "depth",
      "accounts",
      "keys_per_account",
      "sub_keys_per_account",
      "features[0]",
      "features[1]",
    ]);
    const keyless = { plan: "default", updateMask: { paths: ["keys_per_account"] } };
    expect(await badFieldsOf(system.root.plans.updatePlan(keyless, timely))).toEqual(["keys_per_account"]);
    const twice = {
      name: "twice",
      features: [PlanFeature.SIGNING, PlanFeature.SCOPING, PlanFeature.SIGNING],
    };
    expect((await system.root.plans.createPlan(twice, timely)).plan!.features).toEqual([
      PlanFeature.SCOPING,
      PlanFeature.SIGNING,
    ]);
  });

  it("bind at once: up lets grow, down below what is in use blocks growth and takes nothing", async () => {
    const { plans, accounts } = system.root;
    await plans.createPlan({ name: "small", accounts: 1n, keysPerAccount: 1n }, timely);
    const { secret } = await accounts.createAccount({ name: "growing", plan: "small" }, timely);
    const master = system.as(secret);
    const grow = async (name: string) => [
      await reasonOf(master.accounts.createAccount({ name }, timely)),
      await reasonOf(master.keys.createKey({ name }, timely)),
    ];
    expect(await grow("a")).toEqual(["OK", "PLAN_LIMIT"]);
    expect(await grow("b")).toEqual(["PLAN_LIMIT", "PLAN_LIMIT"]);
    await plans.updatePlan({ plan: "small", accounts: 2n, keysPerAccount: 3n }, timely);
    expect(await grow("b")).toEqual(["OK", "OK"]);
    const { plan } = await plans.updatePlan(
      { plan: "small", keysPerAccount: 1n, updateMask: { paths: ["accounts", "keys_per_account", "depth"] } },
      timely,
    );
    expect(plan).toMatchObject({ accounts: 0n, keysPerAccount: 1n, depth: 0 });
    expect(await grow("c")).toEqual(["PLAN_DEPTH", "PLAN_LIMIT"]);
    expect((await master.accounts.listAccounts({}, timely)).accounts).toHaveLength(2);
    expect((await master.keys.listKeys({}, timely)).keys).toHaveLength(2);
  });

  it("without SCOPING have none on an account's first key either, but for what it is given by default", async () => {
    const { plans, accounts } = system.root;
    await plans.createPlan({ name: "unscoped" }, timely);
    const { secret } = await accounts.createAccount({ name: "Unscoped", plan: "unscoped" }, timely);
    const master = system.as(secret);
    await system.root.roles.createRole({ name: "clerk", scopes: ["orders.**"] }, timely);
    const scoped = [{ scopes: ["orders.read"] }, { roles: ["clerk"] }];
    for (const [index, firstKey] of scoped.entries()) {
      const named = { name: `scoped ${index}`, firstKey };
      expect(await reasonOf(master.accounts.createAccount(named, timely))).toBe("PLAN_FEATURE");
      const organization = accounts.createAccount({ ...named, plan: "unscoped" }, timely);
      expect(await reasonOf(organization)).toBe("PLAN_FEATURE");
      expect(await reasonOf(master.keys.createKey({ name: "scoped", ...firstKey }, timely))).toBe(
        "PLAN_FEATURE",
      );
    }
    const plain = { name: "plain", firstKey: { roles: ["auditor"] } };
    expect(await reasonOf(master.accounts.createAccount(plain, timely))).toBe("OK");
    expect(await reasonOf(master.accounts.createAccount({ name: "silent" }, timely))).toBe("OK");
  });

  it("that an organization has are not deleted, nor is `default`", async () => {
    const { plans, accounts } = system.root;
    await plans.createPlan({ name: "gone" }, timely);
    await plans.createPlan({ name: "held" }, timely);
    await accounts.createAccount({ name: "holder", plan: "held" }, timely);
    expect(await reasonOf(plans.deletePlan({ plan: "default" }, timely))).toBe("IN_USE");
    expect(await reasonOf(plans.deletePlan({ plan: "held" }, timely))).toBe("IN_USE");
    expect(await reasonOf(plans.deletePlan({ plan: "gone" }, timely))).toBe("OK");
    expect(await badFieldsOf(accounts.createAccount({ name: "late", plan: "gone" }, timely))).toEqual([
      "plan",
    ]);
  });

  it("are never deleted from under an organization that is being made", async () => {
    const { plans, accounts } = system.root;
    for (let round = 0; round < 10; round++) {
      await plans.createPlan({ name: "racy" }, timely);
      const [made, deleted] = await Promise.all([
        reasonOf(accounts.createAccount({ name: `racer ${round}`, plan: "racy" }, timely)),
        reasonOf(plans.deletePlan({ plan: "racy" }, timely)),
      ]);
      expect([made, deleted]).toEqual(made === "OK" ? ["OK", "IN_USE"] : ["INVALID_FIELD", "OK"]);
      if (made === "OK") break;
    }
  });
});
