import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { badFieldsOf, reasonOf, type System, startSystem, timely } from "./system.ts";

let system: System;

beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system?.stop());

describe("types", () => {
  it("hold the keys of their accounts at once, and are not deleted from under them", async () => {
    const { types, accounts, keys } = system.root;
    await types.createType({ name: "custody", open: true }, timely);
    const { account, secret } = await accounts.createAccount({ name: "vault", type: "custody" }, timely);
    const look = () => reasonOf(system.as(secret).keys.listKeys({}, timely));
    expect(await look()).toBe("OK");
    await types.updateType({ type: "custody", scopeCeiling: ["vaults.**"] }, timely);
    expect(await look()).toBe("SCOPE_DENIED");
    await types.updateType({ type: "custody", updateMask: { paths: ["scope_ceiling"] } }, timely);
    expect(await look()).toBe("OK");
    expect(await reasonOf(types.deleteType({ type: "custody" }, timely))).toBe("IN_USE");
    expect((await keys.listKeys({ account: account!.id }, timely)).keys).toHaveLength(1);
  });

  it("that an account has enabled are not deleted", async () => {
    const { types, accounts } = system.root;
    await types.createType({ name: "exchange" }, timely);
    const { account } = await accounts.createAccount({ name: "market" }, timely);
    await accounts.enableType({ account: account!.id, type: "exchange" }, timely);
    expect(await reasonOf(types.deleteType({ type: "exchange" }, timely))).toBe("IN_USE");
    await accounts.disableType({ account: account!.id, type: "exchange" }, timely);
    expect(await reasonOf(types.deleteType({ type: "exchange" }, timely))).toBe("OK");
  });

  it("have a ceiling of scopes, and fit the root's node together", async () => {
    const { types } = system.root;
    const bad = { name: "bad", scopeCeiling: ["ok", "**.a", "!"] };
    expect(await badFieldsOf(types.createType(bad, timely))).toEqual([
      "scope_ceiling[1]",
      "scope_ceiling[2]",
    ]);
    const segment = "x".repeat(60);
    const scopeCeiling = Array.from({ length: 150 }, (_, n) => `${segment}.${segment}.${n}`);
    expect(await reasonOf(types.createType({ name: "large", scopeCeiling }, timely))).toBe("OK");
    expect(await reasonOf(types.createType({ name: "larger", scopeCeiling }, timely))).toBe("PLAN_LIMIT");
  });
});

describe("terms", () => {
  it("close what they gate until the organization accepts them, and again for each version", async () => {
    const { root } = system;
    const { secret } = await root.accounts.createAccount({ name: "signer" }, timely);
    const signer = system.as(secret);
    const gates = ["gatehouse.accounts.create"];
    await root.terms.createTerms({ document: "api-terms", version: "1", gates }, timely);
    let made = 0;
    const create = () => reasonOf(signer.accounts.createAccount({ name: `child ${++made}` }, timely));
    const accept = (version: string) =>
      signer.accounts.acceptTerms({ document: "api-terms", version }, timely);
    expect(await create()).toBe("TERMS_REQUIRED");
    await accept("1");
    expect(await create()).toBe("OK");
    await root.terms.updateTerms({ document: "api-terms", version: "2" }, timely);
    expect(await create()).toBe("TERMS_REQUIRED");
    await accept("2");
    expect(await create()).toBe("OK");
    await root.terms.updateTerms({ document: "api-terms", version: "3" }, timely);
    await root.terms.deleteTerms({ document: "api-terms" }, timely);
    expect(await create()).toBe("OK");
  });

  it("say where to read them, and nothing that is no place", async () => {
    const { terms } = system.root;
    const gates = Array.from({ length: 51 }, (_, n) => `a${n}`);
    const bad = { document: "bad", version: "v".repeat(64), url: "javascript:alert(1)", gates };
    expect(await badFieldsOf(terms.createTerms(bad, timely))).toEqual(["version", "url", "gates"]);
    expect(await badFieldsOf(terms.createTerms({ document: "bad" }, timely))).toEqual(["version"]);
    const good = { document: "good", version: "2026-11", url: "https://example.com/terms", gates: ["none"] };
    expect((await terms.createTerms(good, timely)).terms).toMatchObject(good);
    const unset = { document: "good", updateMask: { paths: ["url", "gates"] } };
    expect((await terms.updateTerms(unset, timely)).terms).toMatchObject({ url: "", gates: [] });
  });
});
