import { KeyKind } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { badFieldsOf, reasonOf, type System, startSystem, timely } from "./system.ts";

let system: System;

beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system?.stop());

describe("meters", () => {
  it("are told to followers as they come and go", async () => {
    const { meters } = system.root;
    const { head } = await system.feed.getHead({}, timely);
    await meters.createMeter({ name: "tokens", title: "Tokens", unit: "token" }, timely);
    await meters.createMeter({ name: "bytes" }, timely);
    await meters.deleteMeter({ meter: "bytes" }, timely);
    const { changes } = await system.feed.listChanges({ after: head! }, timely);
    expect(changes.map(({ entity, deleted }) => [entity.case, entity.value, deleted])).toMatchObject([
      ["meter", { name: "tokens" }, false],
      ["meter", { name: "bytes" }, true],
      ["meter", { name: "bytes" }, true],
    ]);
    const { meters: known } = await system.feed.resolveMeters({}, timely);
    expect(known.map(({ name }) => name).sort()).toEqual(["requests", "tokens"]);
  });

  it("keep `requests`, whose title may change", async () => {
    const { meters } = system.root;
    expect(await reasonOf(meters.deleteMeter({ meter: "requests" }, timely))).toBe("IN_USE");
    const { meter } = await meters.updateMeter({ meter: "requests", title: "Calls" }, timely);
    expect(meter).toMatchObject({ name: "requests", title: "Calls", unit: "request" });
    expect(
      await badFieldsOf(meters.updateMeter({ meter: "requests", unit: "u".repeat(31) }, timely)),
    ).toEqual(["unit"]);
  });
});

describe("integrations", () => {
  it("say whether new sub-keys are barred from them", async () => {
    const { integrations } = system.root;
    const zapier = { name: "zapier", title: "Zapier", deniedToSubKeys: true };
    expect((await integrations.createIntegration(zapier, timely)).integration).toMatchObject(zapier);
    const unset = { integration: "zapier", updateMask: { paths: ["denied_to_sub_keys"] } };
    const { integration } = await integrations.updateIntegration(unset, timely);
    expect(integration).toMatchObject({ ...zapier, deniedToSubKeys: false });
  });

  it("are named in any case, and kept in lower case", async () => {
    const { integrations } = system.root;
    const made = await integrations.createIntegration({ name: "Power-Automate" }, timely);
    expect(made.integration!.name).toBe("power-automate");
    const got = await integrations.getIntegration({ integration: "POWER-automate" }, timely);
    expect(got.integration!.name).toBe("power-automate");
    await integrations.updateIntegration({ integration: "Power-Automate", title: "Power" }, timely);
    await integrations.deleteIntegration({ integration: "POWER-AUTOMATE" }, timely);
    const names = (await integrations.listIntegrations({}, timely)).integrations.map(({ name }) => name);
    expect(names).not.toContain("power-automate");
    expect(await badFieldsOf(integrations.createIntegration({ name: "Power Automate" }, timely))).toEqual([
      "name",
    ]);
  });
});

describe("a sub-key of the provider", () => {
  it("defines nothing, whatever it holds", async () => {
    const { secret } = await system.root.keys.createKey({ name: "sub", kind: KeyKind.SUB }, timely);
    const { meters, integrations, roles } = system.as(secret);
    expect(await reasonOf(meters.listMeters({}, timely))).toBe("OK");
    const outcomes = await Promise.all([
      reasonOf(meters.createMeter({ name: "x" }, timely)),
      reasonOf(meters.updateMeter({ meter: "none", title: "x" }, timely)),
      reasonOf(integrations.deleteIntegration({ integration: "none" }, timely)),
      reasonOf(roles.createRole({ name: "x", scopes: ["a"] }, timely)),
    ]);
    expect(outcomes).toEqual(Array(4).fill("KEY_KIND_DENIED"));
  });
});
