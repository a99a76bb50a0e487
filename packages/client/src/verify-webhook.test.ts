import { describe, expect, it } from "vitest";
import { verifyWebhook } from "./verify-webhook.ts";

// The test vector of docs/events.md, computed by another language's HMAC.
const secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
const body = '{"id":"evt_00000000000000000001","type":"key.revoked","data":{}}';
const header = "t=1764000000,v1=980d55473c365dad6e7f0bd583ef679c6b458db4e5b5e551b42e7315e0920657";
const then = 1_764_000_000_000;

describe("a delivery's signature", () => {
  it("holds for the body, secret and time that it was made of", () => {
    expect(verifyWebhook(body, header, secret, 300, then)?.type).toBe("key.revoked");
    expect(verifyWebhook(Buffer.from(body), header, secret, 300, then + 299_000)?.type).toBe("key.revoked");
  });

  it.each([
    ["another body", `${body} `, header, secret, then],
    ["another secret", body, header, `${secret}x`, then],
    ["another time", body, header.replace("1764000000", "1764000001"), secret, then],
    ["long ago", body, header, secret, then + 301_000],
    ["far ahead", body, header, secret, then - 301_000],
    ["no header", body, undefined, secret, then],
    ["a short signature", body, header.slice(0, -1), secret, then],
    ["what is no header of ours", body, "v1=", secret, then],
  ])("does not hold for %s", (_, body, header, secret, nowMs) => {
    expect(verifyWebhook(body, header, secret, 300, nowMs)).toBeUndefined();
  });
});
