import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { type RequestToSign, signRequest } from "./sign-request.ts";

test("a request is signed as the test vectors say", () => {
  const file = new URL("../../keys/test/signing-vectors.json", import.meta.url);
  const { secret, privateKey, requests } = JSON.parse(readFileSync(file, "utf8")) as {
    secret: string;
    privateKey: string;
    requests: (RequestToSign & { signature: string })[];
  };
  for (const request of requests) {
    const headers = signRequest({
      ...request,
      secret: request.algorithm === "ED25519" ? privateKey : secret,
    });
    expect(headers["gatehouse-signature"]).toBe(request.signature);
  }
});
