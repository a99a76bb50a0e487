import { describe, expect, it } from "vitest";
import { TestVerifier } from "./verify.fixture.ts";

/**
 * An organization with a desk and a bot below it; credentials as accounts have them, set by themselves where it is not
 * said who did.
 */
function tree(credentials: Readonly<Record<string, string>>) {
  const test = new TestVerifier();
  const parents = { acc_root: undefined, acc_org: "acc_root", acc_desk: "acc_org", acc_bot: "acc_desk" };
  for (const [id, parentId] of Object.entries(parents)) {
    const credential = credentials[id];
    const upstreamCredential =
      credential === undefined
        ? ""
        : test.sealer.seal(credential.startsWith("acc_") ? credential : `${id} ${credential}`, id);
    test.account(id, { parentId, slug: id.slice(4), upstreamCredential });
  }
  test.account("acc_root", { organizationId: undefined });
  const verifier = (accountId: string) => {
    const key = test.identity.keyOf({ accountId });
    return { key, parent: undefined, chain: [test.identity.accounts.get(accountId)!] };
  };
  return { test, verifier };
}

describe("the upstream header", () => {
  it("is that of the account acted on, or of the nearest above it", async () => {
    const { test } = tree({ acc_org: "x-api-key: of org", acc_desk: "authorization: Bearer of: desk" });
    const { presented: bot } = test.key("acc_bot");
    const { presented: master } = test.key("acc_org", { kind: "MASTER" });
    const of = async (presented: string, account = "") =>
      (await test.verify({ presented, account })).upstream;
    expect(await of(bot)).toEqual({ name: "authorization", value: "Bearer of: desk" });
    expect(await of(master)).toEqual({ name: "x-api-key", value: "of org" });
    expect(await of(master, "bot")).toEqual({ name: "authorization", value: "Bearer of: desk" });
  });

  it("is none from beyond the organization, nor from above the verifier", async () => {
    const { test, verifier } = tree({ acc_root: "x-api-key: of root", acc_org: "x-api-key: of org" });
    const { presented } = test.key("acc_bot");
    const of = async (accountId: string) => (await test.verify({ presented }, verifier(accountId))).upstream;
    expect(await of("acc_org")).toEqual({ name: "x-api-key", value: "of org" });
    expect(await of("acc_desk")).toBeUndefined();
    expect(await of("acc_bot")).toBeUndefined();
    const bare = tree({ acc_root: "x-api-key: of root" });
    const { presented: other } = bare.test.key("acc_bot");
    expect((await bare.test.verify({ presented: other })).upstream).toBeUndefined();
    const { presented: own } = bare.test.key("acc_root");
    expect((await bare.test.verify({ presented: own })).upstream?.value).toBe("of root");
  });

  it("goes to verifiers of the account that set it and of those above, and to none below", async () => {
    const { test, verifier } = tree({ acc_bot: "acc_org x-api-key: set by org" });
    const { presented } = test.key("acc_bot");
    const of = async (accountId: string) => (await test.verify({ presented }, verifier(accountId))).upstream;
    for (const accountId of ["acc_root", "acc_org"]) {
      expect(await of(accountId)).toEqual({ name: "x-api-key", value: "set by org" });
    }
    for (const accountId of ["acc_desk", "acc_bot"]) expect(await of(accountId)).toBeUndefined();
  });

  it("that the provider set for a customer is not told to the customer's verifier", async () => {
    const { test, verifier } = tree({ acc_org: "acc_root x-api-key: of the provider" });
    const { presented } = test.key("acc_org");
    const own = await test.verify({ presented }, verifier("acc_org"));
    expect([own.code, own.upstream]).toEqual(["VALID", undefined]);
    expect((await test.verify({ presented }, verifier("acc_root"))).upstream?.value).toBe("of the provider");
  });

  it("that a verifier may not have hides none that it may", async () => {
    const { test, verifier } = tree({
      acc_desk: "acc_root x-api-key: of the provider",
      acc_org: "acc_org x-api-key: of org",
    });
    const { presented } = test.key("acc_desk");
    const of = async (accountId: string) => (await test.verify({ presented }, verifier(accountId))).upstream;
    expect((await of("acc_org"))?.value).toBe("of org");
    expect((await of("acc_root"))?.value).toBe("of the provider");
  });

  it("of which it is not known who set it is the provider's alone", async () => {
    const { test, verifier } = tree({});
    test.account("acc_org", { upstreamCredential: test.sealer.seal("x-api-key: old", "acc_org") });
    const { presented } = test.key("acc_bot");
    const of = async (accountId: string) => (await test.verify({ presented }, verifier(accountId))).upstream;
    expect(await of("acc_org")).toBeUndefined();
    expect(await of("acc_root")).toEqual({ name: "x-api-key", value: "old" });
  });

  it("is there only where the call is VALID", async () => {
    const { test } = tree({ acc_org: "x-api-key: of org" });
    const { presented } = test.key("acc_org", { scopes: ["weather.**"] });
    expect((await test.verify({ presented, resource: "orders" })).upstream).toBeUndefined();
    expect((await test.verify({ presented, resource: "weather" })).upstream).toBeDefined();
  });

  it("is opened once, and anew when it changes", async () => {
    const { test } = tree({ acc_org: "x-api-key: first" });
    const { presented } = test.key("acc_org");
    const { upstream } = await test.verify({ presented });
    expect((await test.verify({ presented })).upstream).toBe(upstream);
    test.account("acc_org", { upstreamCredential: test.sealer.seal("acc_org x-api-key: second", "acc_org") });
    expect((await test.verify({ presented })).upstream?.value).toBe("second");
    test.account("acc_org", { upstreamCredential: "" });
    expect((await test.verify({ presented })).upstream).toBeUndefined();
  });

  it("that does not open here, or was sealed for another account, leaves the call undecided and uncharged", async () => {
    const { test } = tree({});
    for (const upstreamCredential of [
      test.sealer.seal("x-api-key: moved", "acc_desk"),
      new TestVerifier().sealer.seal("x-api-key: of another deployment", "acc_org"),
      test.sealer.seal("no header at all", "acc_org"),
    ]) {
      test.account("acc_org", { upstreamCredential });
      const { presented } = test.key("acc_org");
      for (let n = 0; n < 3; n++) expect(await test.code({ presented })).toBe("INDETERMINATE");
    }
    expect([test.charged, test.unopened]).toEqual([0, ["acc_org", "acc_org"]]);
  });
});
