import { mintId } from "@gatehouse/keys";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { peekingVerifier } from "./peek.ts";
import { Receipt } from "./receipt.ts";
import { type SignedRequest, signedRequest } from "./signed-request.ts";
import { credentialOf, sign, signer } from "./signing.fixture.ts";
import { callOf, keyed, TestVerifier } from "./verify.fixture.ts";

const ALGORITHMS = ["HMAC_SHA256", "HMAC_SHA384", "HMAC_SHA512", "ED25519"] as const;
const WINDOW_MS = 30_000;

function verifierOf(test: TestVerifier, accountId: string) {
  const key = test.identity.keyOf({ accountId });
  return { key, parent: undefined, chain: [test.identity.accounts.get(accountId)!] };
}

describe("a signed request", () => {
  it.each(ALGORITHMS)("by %s is admitted once, and about its own key alone", async (algorithm) => {
    const test = new TestVerifier();
    const bot = signer(test, "acc_org", algorithm);
    const signed = sign(test, bot);
    const decision = await test.verify({ signed });
    expect([decision.code, decision.entry?.key.id]).toEqual(["VALID", bot.id]);
    expect(await test.code({ signed })).toBe("REPLAYED");
    expect(await test.code({ signed: sign(test, bot) })).toBe("VALID");
    const other = signer(test, "acc_org", algorithm);
    expect(await test.code({ signed: { ...sign(test, bot), keyId: other.id } })).toBe("SIGNATURE_INVALID");
    for (const wrong of ALGORITHMS.filter((each) => each !== algorithm)) {
      expect(await test.code({ signed: { ...sign(test, bot), algorithm: wrong } })).toBe("SIGNATURE_INVALID");
    }
    expect(test.charged).toBe(2);
  });

  it("is not known where its key is unknown, revoked, out of sight, or none that signs", async () => {
    const test = new TestVerifier();
    const bot = signer(test);
    const bearer = test.key("acc_org");
    const codes = async (signed: SignedRequest, verifier = test.provider) => {
      const { code, entry } = await test.verify({ signed }, verifier);
      return [code, entry];
    };
    const unknown = ["NOT_FOUND", undefined];
    expect(await codes({ ...sign(test, bot), keyId: mintId("key") })).toEqual(unknown);
    expect(await codes({ ...sign(test, bot), keyId: bearer.id })).toEqual(unknown);
    test.account("acc_other", { organizationId: "acc_other" });
    expect(await codes(sign(test, bot), verifierOf(test, "acc_other") as never)).toEqual(unknown);
    test.changeKey(bot.id, { status: "REVOKED" });
    expect(await codes({ ...sign(test, bot), signature: "junk" })).toEqual(unknown);
    const parent = test.key("acc_org", { status: "REVOKED" });
    const sub = signer(test, "acc_org", "ED25519", { kind: "SUB", parentKeyId: parent.id });
    expect(await codes(sign(test, sub))).toEqual(unknown);
    expect(test.denials).toEqual([]);
  });

  it("is of a key that cannot be presented, neither by its id nor by its secret", async () => {
    const test = new TestVerifier();
    const bot = signer(test);
    for (const presented of [bot.id, bot.secret as string, `gth_acc_${bot.id.slice(4)}`]) {
      expect(await test.code({ presented })).toBe("NOT_FOUND");
    }
  });

  it("fails by its signature before its nonce, by its nonce before its key's state, by that before all else", async () => {
    const test = new TestVerifier();
    const bot = signer(test, "acc_org", "HMAC_SHA256", { scopes: ["weather.**"] });
    const signed = sign(test, bot);
    expect(await test.code({ signed })).toBe("VALID");
    test.changeKey(bot.id, { status: "DISABLED" });
    const forged = { ...signed, signature: sign(test, bot).signature };
    expect(await test.code({ signed: forged, resource: "orders" })).toBe("SIGNATURE_INVALID");
    expect(await test.code({ signed, resource: "orders" })).toBe("REPLAYED");
    expect(await test.code({ signed: sign(test, bot), resource: "orders" })).toBe("DISABLED");
    test.changeKey(bot.id, { status: "ENABLED" });
    expect(await test.code({ signed: sign(test, bot), resource: "orders" })).toBe("SCOPE_DENIED");
    expect(test.denials.map(([code]) => code)).toEqual([
      "SIGNATURE_INVALID",
      "REPLAYED",
      "DISABLED",
      "SCOPE_DENIED",
    ]);
  });

  it("may be sent again after it was denied, and is then admitted once", async () => {
    const test = new TestVerifier();
    const bot = signer(test, "acc_org", "ED25519", { status: "DISABLED" });
    const signed = sign(test, bot);
    expect(await test.code({ signed })).toBe("DISABLED");
    expect(await test.code({ signed })).toBe("DISABLED");
    test.changeKey(bot.id, { status: "ENABLED" });
    expect(await test.code({ signed })).toBe("VALID");
    expect(await test.code({ signed })).toBe("REPLAYED");
  });

  it("says what is wrong with it, as far as the request itself shows it", async () => {
    const test = new TestVerifier();
    const bot = signer(test);
    const reason = async (signed: SignedRequest) => {
      const decision = await test.verify({ signed });
      expect(decision.code).toBe("SIGNATURE_INVALID");
      return decision.reason;
    };
    const at = (offsetMs: number) => sign(test, bot, { timestampMs: test.now.wallMs + offsetMs });
    expect(await reason(at(-45_000))).toBe("signed.timestamp: is 45 s ago, and may be at most 30 s from now");
    expect(await reason(at(WINDOW_MS + 1))).toBe(
      "signed.timestamp: is 30.1 s ahead of now, and may be at most 30 s from now",
    );
    const signed = sign(test, bot);
    expect(await reason({ ...signed, algorithm: "ED25519" })).toBe(
      "signed.algorithm: the key signs by another than ED25519",
    );
    expect(await reason({ ...signed, signature: "junk" })).toBe(
      "signed.signature: is not written as one of HMAC_SHA384",
    );
    expect(await reason({ ...signed, signature: sign(test, bot).signature })).toBe(
      "signed.signature: does not hold over what was signed",
    );
    const another = signedRequest({ ...signed, nonce: "another-nonce" }, "desk").signed;
    expect(await reason(another)).toBe("signed.nonce, account: another was signed");
  });

  it("holds within the window, both edges included, and not a millisecond beyond", async () => {
    const test = new TestVerifier();
    const bot = signer(test);
    const at = (offsetMs: number) => sign(test, bot, { timestampMs: test.now.wallMs + offsetMs });
    expect(await test.code({ signed: at(-WINDOW_MS) })).toBe("VALID");
    expect(await test.code({ signed: at(WINDOW_MS) })).toBe("VALID");
    expect(await test.code({ signed: at(-WINDOW_MS - 1) })).toBe("SIGNATURE_INVALID");
    expect(await test.code({ signed: at(WINDOW_MS + 1) })).toBe("SIGNATURE_INVALID");
  });

  it("is not decided where a clock was set back to before what is remembered", async () => {
    const test = new TestVerifier();
    const bot = signer(test);
    const signed = sign(test, bot);
    const move = (wallMs: number, monotonicMs: number) => {
      test.now.wallMs += wallMs;
      test.now.monotonicMs += monotonicMs;
    };
    expect(await test.code({ signed })).toBe("VALID");
    move(60_000, 60_000);
    expect(await test.code({ signed })).toBe("SIGNATURE_INVALID");
    expect(await test.code({ signed: sign(test, bot) })).toBe("VALID");
    move(-60_000, 0);
    expect(await test.code({ signed })).toBe("INDETERMINATE");
  });

  it("holds by an earlier credential until its grace ends", async () => {
    const test = new TestVerifier();
    for (const algorithm of ALGORITHMS) {
      const old = signer(test, "acc_org", algorithm);
      const young = credentialOf(test, old.id, algorithm);
      const keys = [
        { value: young.value, untilMs: undefined },
        { value: old.value, untilMs: test.now.wallMs + 1000 },
      ];
      test.changeKey(old.id, { signing: { algorithm, keys, strictReplay: false, strictSinceMs: undefined } });
      expect(await test.code({ signed: sign(test, young) })).toBe("VALID");
      expect(await test.code({ signed: sign(test, old) })).toBe("VALID");
      test.now.wallMs += 1000;
      expect(await test.code({ signed: sign(test, old) })).toBe("SIGNATURE_INVALID");
      expect(await test.code({ signed: sign(test, young) })).toBe("VALID");
    }
  });

  it("is undecided where its key's secret does not open, and no secret is opened twice", async () => {
    const test = new TestVerifier();
    const bot = signer(test, "acc_org", "HMAC_SHA256");
    const elsewhere = new TestVerifier();
    const sealed = { value: elsewhere.sealer.seal("secret", bot.id), untilMs: undefined };
    test.changeKey(bot.id, {
      signing: {
        algorithm: "HMAC_SHA256",
        keys: [{ value: bot.value, untilMs: undefined }, sealed],
        strictReplay: false,
        strictSinceMs: undefined,
      },
    });
    expect(await test.code({ signed: sign(test, bot) })).toBe("VALID");
    const { signature } = sign(test, bot);
    for (let n = 0; n < 3; n++) {
      expect(await test.code({ signed: { ...sign(test, bot), signature } })).toBe("INDETERMINATE");
    }
    expect(test.unopened).toEqual([bot.id]);
  });

  it("asks identity for made-up keys within the budget of those that do not exist", async () => {
    const test = new TestVerifier();
    const bot = signer(test);
    const codes = new Set<string>();
    for (let n = 0; n < 20; n++) {
      codes.add(await test.code({ signed: { ...sign(test, bot), keyId: mintId("key") } }));
    }
    expect(codes).toEqual(new Set(["NOT_FOUND", "INDETERMINATE"]));
    const warm = signer(test);
    expect(await test.code({ signed: sign(test, warm) })).toBe("INDETERMINATE");
    test.now.monotonicMs += 1000;
    expect(await test.code({ signed: sign(test, warm) })).toBe("VALID");
  });

  it("acts on the account that was signed, and on no other that the call names", async () => {
    const test = new TestVerifier();
    test.account("acc_desk", { parentId: "acc_org", slug: "desk" });
    const master = signer(test, "acc_org", "HMAC_SHA512", { kind: "MASTER" });
    const { forAccount, ...signed } = sign(test, master, { account: "desk" });
    expect((await test.verify({ signed, account: forAccount })).target?.[0]?.id).toBe("acc_desk");
    const given = sign(test, master, { account: "desk" });
    const read = signedRequest(given, "acme");
    expect(await test.code({ ...read })).toBe("SIGNATURE_INVALID");
  });

  it("agrees with what was signed in every field that Gatehouse's form has", async () => {
    const test = new TestVerifier();
    const bot = signer(test);
    const other = signer(test);
    const signed = sign(test, bot);
    for (const change of [
      { nonce: "another-nonce" },
      { timestampMs: signed.timestampMs + 1 },
      { keyId: other.id },
      { canonicalRequest: signed.canonicalRequest.replace("POST", "PUT") },
      { canonicalRequest: `${signed.canonicalRequest}\n` },
    ]) {
      expect(await test.code({ ...signedRequest({ ...signed, ...change }, "") })).toBe("SIGNATURE_INVALID");
    }
    // The form is claimed, and not kept to: that it was signed helps nothing.
    const loose = sign(test, bot, { lines: "GATEHOUSE-SIGNED-1\nwhatever" });
    expect(await test.code({ signed: loose })).toBe("SIGNATURE_INVALID");
    expect(await test.code({ signed })).toBe("VALID");
  });

  it("in another form is what the gateway says of it", async () => {
    const test = new TestVerifier();
    const bot = signer(test);
    const payload = Buffer.from(JSON.stringify({ request: "/v1/order/new", nonce: 1_800_000_000_123 }));
    const signed = sign(test, bot, { lines: payload.toString("base64"), nonce: "1800000000123" });
    expect(await test.code({ signed })).toBe("VALID");
    expect(await test.code({ signed })).toBe("REPLAYED");
    expect(await test.code({ signed: { ...signed, nonce: "1800000000124", signature: "00" } })).toBe(
      "SIGNATURE_INVALID",
    );
  });

  it("is never admitted when it was tampered with, and nothing throws", async () => {
    const test = new TestVerifier();
    const bots = ALGORITHMS.map((algorithm) => signer(test, "acc_org", algorithm));
    const texts = fc.oneof(fc.string({ unit: "binary", maxLength: 300 }), fc.base64String());
    const tampering = fc.record(
      {
        canonicalRequest: texts,
        signature: texts,
        nonce: fc.string({ minLength: 8 }),
        timestampMs: fc.integer(),
      },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...bots), tampering, fc.nat(), async (bot, change, at) => {
        const signed = sign(test, bot);
        const cut = at % signed.canonicalRequest.length;
        const spliced = signed.canonicalRequest.slice(0, cut) + signed.canonicalRequest.slice(cut + 1);
        const changed = Object.keys(change).length > 0 ? change : { canonicalRequest: spliced };
        const read = signedRequest({ ...signed, ...changed }, "");
        expect(await test.code({ ...read })).not.toBe("VALID");
      }),
      { numRuns: 1000 },
    );
  });
});

describe("of two copies of a request", () => {
  it("one is admitted, when both come in one turn and what they need is here", async () => {
    const test = new TestVerifier();
    const bot = signer(test);
    keyed(test, bot);
    const signed = sign(test, bot);
    const codes = await Promise.all([test.code({ signed }), test.code({ signed })]);
    expect(codes).toEqual(["VALID", "REPLAYED"]);
  });

  it("one is admitted, when both wait for the same", async () => {
    const test = new TestVerifier();
    const signed = sign(test, signer(test));
    const codes = await Promise.all(Array.from({ length: 10 }, () => test.code({ signed })));
    expect(codes.filter((code) => code === "VALID")).toHaveLength(1);
    expect(codes.filter((code) => code === "REPLAYED")).toHaveLength(9);
  });

  it("neither was admitted whose decision could not be written down", async () => {
    const test = new TestVerifier();
    const bot = signer(test);
    const signed = sign(test, bot);
    const receipt = new Receipt();
    test.options.signatures.admitted(keyed(test, bot), signed, test.now, receipt);
    expect(await test.code({ signed })).toBe("REPLAYED");
    receipt.settle(new Error("the disk is full"));
    expect(await test.code({ signed })).toBe("VALID");
  });

  it("a retry of what was admitted is decided again, however old it is by now, and spends nothing", async () => {
    const test = new TestVerifier();
    const bot = signer(test);
    const signed = sign(test, bot);
    expect(await test.code({ signed })).toBe("VALID");
    test.now.wallMs += WINDOW_MS + 1;
    const retry = { ...signed, wasAdmitted: true };
    expect(await test.code({ signed: retry })).toBe("VALID");
    expect(await test.code({ signed: { ...retry, signature: sign(test, bot).signature } })).toBe(
      "SIGNATURE_INVALID",
    );
    test.changeKey(bot.id, { status: "REVOKED" });
    expect(await test.code({ signed: retry })).toBe("NOT_FOUND");
  });

  it("one that is only explained spends nothing", async () => {
    const test = new TestVerifier();
    const signed = sign(test, signer(test, "acc_org", "ED25519", { strictReplay: true }));
    let claims = 0;
    test.claimNonce = async () => ++claims > 0;
    const explained = peekingVerifier(test.options);
    expect((await explained.verify(callOf({ signed }), test.provider)).code).toBe("VALID");
    expect([claims, await test.code({ signed })]).toEqual([0, "VALID"]);
    expect((await explained.verify(callOf({ signed }), test.provider)).code).toBe("REPLAYED");
  });
});
