import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { canonicalRequest, contentSha256, mintId } from "@gatehouse/keys";
import {
  HeartbeatRequestSchema,
  type SignedRequestSchema,
  VerifyRequestSchema,
} from "@gatehouse/proto/authz";
import { SigningAlgorithm } from "@gatehouse/proto/identity";
import { Failure } from "@gatehouse/service/failure";
import { describe, expect, it } from "vitest";
import { beatCall, verifyCall } from "./verify-call.ts";

const keyId = mintId("key");
const timestampMs = 1_800_000_000_000;
const lines = { keyId, method: "GET", path: "/", account: "desk", timestampMs, nonce: "12345678" };
const signed: MessageInitShape<typeof SignedRequestSchema> = {
  keyId,
  algorithm: SigningAlgorithm.HMAC_SHA256,
  canonicalRequest: canonicalRequest({ ...lines, contentSha256: contentSha256() }),
  signature: "00",
  timestamp: timestampFromMs(timestampMs),
  nonce: "12345678",
};

function read(init: MessageInitShape<typeof VerifyRequestSchema>) {
  return verifyCall(create(VerifyRequestSchema, init), undefined);
}

function badFields(init: MessageInitShape<typeof VerifyRequestSchema>): string[] {
  try {
    read(init);
    return [];
  } catch (error) {
    expect(error).toBeInstanceOf(Failure);
    return [...new Set((error as Failure).violations?.map(({ field }) => field))];
  }
}

describe("a signed request", () => {
  it("is read as it is, and says which account the call acts on", () => {
    const call = read({ signed });
    expect(call).toMatchObject({ presented: "", account: "desk" });
    expect(call.signed).toEqual({
      keyId,
      algorithm: "HMAC_SHA256",
      canonicalRequest: signed.canonicalRequest,
      signature: "00",
      timestampMs,
      nonce: "12345678",
      disagreement: undefined,
      wasAdmitted: false,
    });
    expect(read({ signed, account: "desk" }).signed?.disagreement).toBeUndefined();
    expect(read({ signed, account: "other" })).toMatchObject({
      account: "other",
      signed: { disagreement: "account: another was signed" },
    });
    const foreign = { ...signed, canonicalRequest: "eyJhIjoxfQ==" };
    expect(read({ signed: foreign, account: "other" })).toMatchObject({
      account: "other",
      signed: { disagreement: undefined },
    });
  });

  it("is of the method and the path that were signed, whose query a verifier need not state", () => {
    const content = { ...lines, method: "POST", path: "/v1/orders?dry=true", contentSha256: contentSha256() };
    const disagreement = (method: string, path: string, text = canonicalRequest(content)) =>
      read({ signed: { ...signed, canonicalRequest: text }, http: { method, path } }).signed?.disagreement;
    expect(disagreement("POST", "/v1/orders?dry=true")).toBeUndefined();
    expect(disagreement("POST", "/v1/orders")).toBeUndefined();
    const another = "http.path: another was signed";
    for (const path of ["/v1/orders?dry=false", "/v1/orders?", "/v1/withdrawals"]) {
      expect(disagreement("POST", path), path).toBe(another);
    }
    expect(disagreement("post", "/v1/orders")).toBe("http.method: another was signed");
    expect(disagreement("GET", "/")).toBe("http.method, http.path: another was signed");
    expect(disagreement("GET", "/", "eyJhIjoxfQ=="), "in a form that the gateway reads").toBeUndefined();
  });

  it("is instead of a key: one of both is given", () => {
    expect(badFields({})).toEqual(["key"]);
    expect(badFields({ key: "gth_acc_1", signed })).toEqual(["signed"]);
    const beat = create(HeartbeatRequestSchema, { signed });
    expect(beatCall(beat, undefined).signed?.keyId).toBe(keyId);
    expect(() => beatCall(create(HeartbeatRequestSchema, {}), undefined)).toThrow(Failure);
  });

  it("names every field that is bad", () => {
    const none = { keyId: "", canonicalRequest: "", signature: "", nonce: "" };
    const all = ["key_id", "algorithm", "canonical_request", "signature", "timestamp", "nonce"];
    expect(badFields({ signed: none })).toEqual(all.map((name) => `signed.${name}`));
    const bad: [string, object][] = [
      ["key_id", { keyId: "acc_00000000000000000001" }],
      ["algorithm", { algorithm: 99 as SigningAlgorithm }],
      ["canonical_request", { canonicalRequest: "ö".repeat(8193) }],
      ["canonical_request", { canonicalRequest: "\ud800" }],
      ["signature", { signature: "0".repeat(201) }],
      ["timestamp", { timestamp: { seconds: 10n ** 15n } }],
      ["nonce", { nonce: "1234567" }],
      ["nonce", { nonce: "n".repeat(101) }],
      ["nonce", { nonce: "with a space" }],
    ];
    for (const [name, change] of bad) {
      expect(badFields({ signed: { ...signed, ...change } }), name).toEqual([`signed.${name}`]);
    }
    expect(badFields({ signed: { ...signed, canonicalRequest: "x".repeat(16_384) } })).toEqual([]);
  });
});
