import * as keys from "@gatehouse/keys";
import { mintId } from "@gatehouse/keys";
import { describe, expect, it, vi } from "vitest";
import type { SignedRequest } from "./signed-request.ts";
import { sign, signer } from "./signing.fixture.ts";
import { TestVerifier } from "./verify.fixture.ts";

vi.mock("@gatehouse/keys", async (original) => {
  const all = await original<typeof keys>();
  return { ...all, signatureHolds: vi.fn(all.signatureHolds) };
});

const checks = vi.mocked(keys.signatureHolds);

/** Whose request takes how many checks of a signature, which are what takes time. */
async function checksOf(test: TestVerifier, signed: SignedRequest, code: string, verifier = test.provider) {
  // The first time it is looked for.
  await test.verify({ signed }, verifier);
  checks.mockClear();
  expect(await test.code({ signed }, verifier)).toBe(code);
  return checks.mock.calls.map(([algorithm]) => algorithm);
}

describe.each(["HMAC_SHA256", "ED25519"] as const)("what is signed by %s", (algorithm) => {
  it("takes one check, whether there is such a key or not", async () => {
    const test = new TestVerifier();
    const bot = signer(test, "acc_org", algorithm);
    const forged = { ...sign(test, bot), signature: sign(test, bot).signature };
    expect(await checksOf(test, forged, "SIGNATURE_INVALID")).toEqual([algorithm]);
    const otherwise = signer(test, "acc_org", "HMAC_SHA512");
    expect(await checksOf(test, { ...forged, keyId: mintId("key") }, "NOT_FOUND")).toEqual([algorithm]);
    const { id } = test.key("acc_org");
    expect(await checksOf(test, { ...forged, keyId: id }, "NOT_FOUND")).toEqual([algorithm]);
    const ofOther = { ...forged, keyId: otherwise.id };
    expect(await checksOf(test, ofOther, "SIGNATURE_INVALID")).toEqual([algorithm]);
    test.changeKey(bot.id, { status: "REVOKED" });
    expect(await checksOf(test, forged, "NOT_FOUND")).toEqual([algorithm]);
  });

  it("takes none where it is outside of the window or malformed, whether there is such a key or not", async () => {
    const test = new TestVerifier();
    const bot = signer(test, "acc_org", algorithm);
    const late = sign(test, bot, { timestampMs: test.now.wallMs - 60_000 });
    const malformed = { ...sign(test, bot), signature: "?" };
    for (const signed of [late, malformed]) {
      expect(await checksOf(test, signed, "SIGNATURE_INVALID")).toEqual([]);
      expect(await checksOf(test, { ...signed, keyId: mintId("key") }, "NOT_FOUND")).toEqual([]);
    }
  });
});
