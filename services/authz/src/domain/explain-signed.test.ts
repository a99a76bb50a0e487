import { expect, it } from "vitest";
import { TestExplainer } from "./explain.fixture.ts";
import { sign, signer } from "./signing.fixture.ts";
import { keyed } from "./verify.fixture.ts";

const checkOf = async (authz: TestExplainer, call: object, code: string) =>
  (await authz.explain({ presented: "", ...call })).checks.find((check) => check.code === code)!;

it("a signed request is explained again and again, and its nonce is there still", async () => {
  const authz = new TestExplainer();
  const signed = sign(authz, signer(authz, "acc_org", "HMAC_SHA384", { strictReplay: true }));
  let claims = 0;
  authz.claimNonce = async () => {
    claims++;
    return true;
  };
  for (let i = 0; i < 3; i++) {
    expect((await authz.explain({ presented: "", signed })).decision.code).toBe("VALID");
  }
  expect([claims, authz.nonces.size, authz.charged]).toEqual([0, 0, 0]);
  expect(await checkOf(authz, { signed }, "REPLAYED")).toMatchObject({ outcome: "PASSED" });
  expect(await authz.code({ presented: "", signed })).toBe("VALID");
  expect((await authz.explain({ presented: "", signed })).decidedBy).toBe("REPLAYED");
  expect(await authz.code({ presented: "", signed })).toBe("REPLAYED");
});

it("of a signature that does not hold it is said what is known", async () => {
  const authz = new TestExplainer();
  const key = signer(authz);
  const detail = async (signed: object) => (await checkOf(authz, { signed }, "SIGNATURE_INVALID")).detail;
  const signed = sign(authz, key);
  expect(await detail({ ...signed, algorithm: "ED25519" })).toBe(
    "signed by ED25519, and the key's is HMAC_SHA384",
  );
  expect(await detail(sign(authz, key, { timestampMs: authz.now.wallMs - 600_000 }))).toContain("by 600 s");
  expect(await detail({ ...signed, disagreement: "account: another was signed" })).toContain(
    "another was signed",
  );
  expect(await detail(signed)).toMatch(/^signed by HMAC_SHA384 at /);
  expect(await checkOf(authz, authz.key("acc_org"), "SIGNATURE_INVALID")).toMatchObject({
    outcome: "NOT_APPLICABLE",
  });
});

it("a secret that does not open here is not known, and no denial", async () => {
  const authz = new TestExplainer();
  const signed = sign(authz, signer(authz));
  const { signing } = authz.identity.keys.get(signed.keyId)!;
  const keys = [{ value: "s1.9.nothing", untilMs: undefined }];
  authz.changeKey(signed.keyId, { signing: { ...signing!, keys } });
  const explained = await authz.explain({ presented: "", signed });
  expect(explained.decision.code).toBe(await authz.code({ presented: "", signed }));
  expect(explained).toMatchObject({ decidedBy: "", decision: { code: "INDETERMINATE" } });
  expect(await checkOf(authz, { signed }, "SIGNATURE_INVALID")).toMatchObject({ outcome: "UNKNOWN" });
  expect(await checkOf(authz, { signed }, "REPLAYED")).toMatchObject({ outcome: "NOT_REACHED" });
});

it("who sees the key that is said to have signed is told that it does not sign, others nothing", async () => {
  const authz = new TestExplainer();
  authz.account("acc_other", { organizationId: "acc_other", slug: "other" });
  const { id } = authz.key("acc_org");
  const signed = { ...sign(authz, signer(authz)), keyId: id };
  const own = await authz.explain({ presented: "", signed });
  expect(own.checks).toMatchObject([{ code: "NOT_FOUND", nodeId: id }]);
  const other = keyed(authz, authz.key("acc_other"));
  const unknown = { ...signed, keyId: "key_0000000000000000000000" };
  expect(await authz.explain({ presented: "", signed }, other)).toEqual(
    await authz.explain({ presented: "", signed: unknown }, other),
  );
});
