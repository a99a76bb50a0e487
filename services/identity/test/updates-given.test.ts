import { KeyKind, SigningAlgorithm } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Caller, reasonOf, type System, startSystem, timely } from "./system.ts";

let system: System;
let root: Caller;

beforeAll(async () => {
  system = await startSystem();
  root = system.root;
});
afterAll(() => system?.stop());

/** What says so is changed, whatever else is said; what says nothing stays. */
describe("an update without a mask", () => {
  it("opens and closes an account type", async () => {
    await root.types.createType({ name: "open", open: true, scopeCeiling: ["a.**"] }, timely);
    const titled = await root.types.updateType({ type: "open", title: "Titled" }, timely);
    expect(titled.type).toMatchObject({ open: true, title: "Titled" });
    const closed = await root.types.updateType({ type: "open", open: false, title: "Closed" }, timely);
    expect(closed.type).toMatchObject({ open: false, title: "Closed", scopeCeiling: ["a.**"] });
  });

  it("lets sub-keys through an integration again", async () => {
    await root.integrations.createIntegration({ name: "zapier", deniedToSubKeys: true }, timely);
    const { integration } = await root.integrations.updateIntegration(
      { integration: "zapier", deniedToSubKeys: false },
      timely,
    );
    expect(integration!.deniedToSubKeys).toBe(false);
  });

  it("takes a plan's numbers down to nothing", async () => {
    await root.plans.createPlan({ name: "shrinking" }, timely);
    const none = { depth: 0, accounts: 0n, subKeysPerAccount: 0n };
    const { plan } = await root.plans.updatePlan({ plan: "shrinking", ...none }, timely);
    expect(plan).toMatchObject({ ...none, keysPerAccount: 100n });
  });

  it("ends an account's isolation", async () => {
    const made = await root.accounts.createAccount({ name: "Alone" }, timely);
    const master = system.as(made.secret);
    await master.accounts.createAccount({ name: "below" }, timely);
    const reaches = async (isolated: boolean) => {
      await root.accounts.updateSettings({ account: made.account!.id, isolated }, timely);
      return reasonOf(master.accounts.getAccount({ account: "below" }, timely));
    };
    expect([await reaches(true), await reaches(false)]).toEqual(["NOT_FOUND", "OK"]);
  });

  it("lets a key's heartbeat and strict replay go", async () => {
    const signing = { algorithm: SigningAlgorithm.HMAC_SHA256, strictReplay: true };
    const wanted = { name: "beating", kind: KeyKind.ACCOUNT, signing, requireHeartbeat: true };
    const { key: made } = await root.keys.createKey(wanted, timely);
    const renamed = await root.keys.updateKey({ key: made!.id, name: "renamed" }, timely);
    expect(renamed.key).toMatchObject({ requireHeartbeat: true, signing: { strictReplay: true } });
    const off = { requireHeartbeat: false, strictReplay: false };
    const { key } = await root.keys.updateKey({ key: made!.id, ...off }, timely);
    expect(key).toMatchObject({ requireHeartbeat: false, signing: { strictReplay: false } });
    expect(key!.name).toBe("renamed");
  });

  it("lets a webhook go on", async () => {
    await root.webhooks.createWebhook({ name: "hook", url: "https://example.com/" }, timely);
    const set = async (paused: boolean) =>
      (await root.webhooks.updateWebhook({ webhook: "hook", paused }, timely)).webhook!.paused;
    expect([await set(true), await set(false)]).toEqual([true, false]);
  });

  it("says so over JSON too", async () => {
    await root.types.createType({ name: "json", open: true }, timely);
    const closed = await system.json(system.rootKey, "TypeService/UpdateType", { type: "json", open: false });
    expect(closed.status, closed.body).toBe(200);
    expect((await root.types.getType({ type: "json" }, timely)).type!.open).toBe(false);
  });
});

describe("an update of lists and times", () => {
  it("empties them where its mask names them, and only there", async () => {
    const wanted = { name: "listed", scopes: ["a"], ipAllow: ["192.0.2.0/24"], labels: { a: "b" } };
    const { key: made } = await root.keys.createKey(wanted, timely);
    const key = made!.id;
    const kept = await root.keys.updateKey({ key, name: "kept", ipAllow: [], labels: {} }, timely);
    expect(kept.key).toMatchObject({ ipAllow: ["192.0.2.0/24"], labels: { a: "b" } });
    const updateMask = { paths: ["ip_allow", "labels"] };
    const emptied = await root.keys.updateKey({ key, updateMask }, timely);
    expect(emptied.key).toMatchObject({ name: "kept", scopes: ["a"], ipAllow: [], labels: {} });
  });
});
