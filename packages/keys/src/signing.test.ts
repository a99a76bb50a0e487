import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { mintId } from "./id.ts";
import { readSignature, type SigningAlgorithm, signatureHolds, signText, verifyingKey } from "./signature.ts";
import {
  canonicalRequest,
  contentSha256,
  isSignedForm,
  parseCanonicalRequest,
  type SignedContent,
} from "./signed-content.ts";
import { isSigned, readSignedHeaders, SIGNED_HEADERS, signedHeaders } from "./signed-headers.ts";

interface Vectors {
  readonly secret: string;
  readonly privateKey: string;
  readonly publicKey: string;
  readonly requests: readonly (Omit<SignedContent, "contentSha256"> & {
    readonly algorithm: SigningAlgorithm;
    readonly body: string;
    readonly canonicalRequest: string;
    readonly signature: string;
    readonly hex: string;
    readonly base64url: string;
  })[];
  readonly foreign: readonly {
    readonly name: string;
    readonly algorithm: SigningAlgorithm;
    readonly canonicalRequest: string;
    readonly signature: string;
  }[];
  readonly malformed: readonly { readonly why: string; readonly canonicalRequest: string }[];
}

const vectors = JSON.parse(
  readFileSync(new URL("../test/signing-vectors.json", import.meta.url), "utf8"),
) as Vectors;
const algorithms: readonly SigningAlgorithm[] = ["HMAC_SHA256", "HMAC_SHA384", "HMAC_SHA512", "ED25519"];

function secretOf(algorithm: SigningAlgorithm): string {
  return algorithm === "ED25519" ? vectors.privateKey : vectors.secret;
}

function verifying(algorithm: SigningAlgorithm) {
  return verifyingKey(algorithm, algorithm === "ED25519" ? vectors.publicKey : vectors.secret)!;
}

function holds(algorithm: SigningAlgorithm, text: string, signature: string): boolean {
  const bytes = readSignature(algorithm, signature);
  return bytes !== undefined && signatureHolds(algorithm, verifying(algorithm), text, bytes);
}

describe("the test vectors", () => {
  it("have every algorithm", () => {
    expect(vectors.requests.map(({ algorithm }) => algorithm)).toEqual(algorithms);
  });

  it.each(vectors.requests)("$algorithm: the lines, the signature, and its spellings", (vector) => {
    const { algorithm, body, canonicalRequest: text, signature, hex, base64url } = vector;
    const { keyId, method, path, account, timestampMs, nonce } = vector;
    const sha256 = contentSha256(body);
    const content = { keyId, method, path, account, timestampMs, nonce, contentSha256: sha256 };
    expect(canonicalRequest(content)).toBe(text);
    expect(parseCanonicalRequest(text)).toEqual(content);
    expect(signText(algorithm, secretOf(algorithm), text)).toBe(signature);
    for (const spelling of [signature, signature.replace(/=+$/, ""), hex, hex.toUpperCase(), base64url]) {
      expect(holds(algorithm, text, spelling), spelling).toBe(true);
      expect(holds(algorithm, `${text} `, spelling)).toBe(false);
    }
  });

  it.each(vectors.foreign)("$name", ({ algorithm, canonicalRequest: text, signature }) => {
    expect(isSignedForm(text)).toBe(false);
    expect(holds(algorithm, text, signature)).toBe(true);
  });

  it.each(vectors.malformed)("no request has $why", ({ canonicalRequest: text }) => {
    expect(parseCanonicalRequest(text)).toBeUndefined();
  });
});

const visible = (minLength: number, maxLength: number) =>
  fc.string({
    minLength,
    maxLength,
    unit: fc.integer({ min: 33, max: 126 }).map((c) => String.fromCharCode(c)),
  });
const contents: fc.Arbitrary<SignedContent> = fc.record({
  keyId: fc.constant(undefined).map(() => mintId("key")),
  method: fc.stringMatching(/^[A-Z]{1,32}$/),
  path: visible(0, 200).map((rest) => `/${rest}`),
  account: fc.constantFrom("", "desk", "org/desk", "acc_0Jq3V7xBr1Fz8Lp2TnWe"),
  timestampMs: fc.integer({ min: 0, max: 99_999_999_999_999 }),
  nonce: visible(8, 100),
  contentSha256: fc.string().map(contentSha256),
});

describe("what is signed", () => {
  it("comes back as it went, and no other request has the same lines", () => {
    fc.assert(
      fc.property(contents, contents, (one, other) => {
        const lines = canonicalRequest(one);
        expect(parseCanonicalRequest(lines)).toEqual(one);
        if (canonicalRequest(other) === lines) expect(other).toEqual(one);
      }),
    );
  });

  it("is read whole or not at all, whatever the text", () => {
    const near = fc.tuple(contents, fc.nat(), fc.string()).map(([content, at, inserted]) => {
      const text = canonicalRequest(content);
      const cut = at % (text.length + 1);
      return text.slice(0, cut) + inserted + text.slice(cut + (at % 3));
    });
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "binary" }), near), (text) => {
        const content = parseCanonicalRequest(text);
        if (content !== undefined) expect(canonicalRequest(content)).toBe(text);
      }),
      { numRuns: 2000 },
    );
  });

  it("names every value that has no place in it", () => {
    const bad = {
      keyId: "",
      method: "",
      path: "",
      account: " ",
      timestampMs: 1.5,
      nonce: "",
      contentSha256: "",
    };
    expect(() => canonicalRequest(bad)).toThrow(
      "keyId, method, path, account, timestampMs, nonce, contentSha256",
    );
  });
});

describe("a signature", () => {
  it("holds over its own text, by its own key and algorithm, and is never taken for another's", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...algorithms),
        fc.string({ unit: "binary" }),
        fc.nat(),
        (algorithm, text, at) => {
          const signature = signText(algorithm, secretOf(algorithm), text);
          expect(holds(algorithm, text, signature)).toBe(true);
          expect(holds(algorithm, `${text}\n`, signature)).toBe(false);
          const bytes = Buffer.from(signature, "base64");
          bytes[at % bytes.length]! ^= 1 << (at % 8);
          expect(holds(algorithm, text, bytes.toString("hex"))).toBe(false);
          for (const other of algorithms) {
            if (other !== algorithm) expect(holds(other, text, signature), other).toBe(false);
          }
        },
      ),
    );
  });

  it("is refused, and nothing thrown, where it is junk", () => {
    const junk = fc.oneof(fc.string({ unit: "binary", maxLength: 200 }), fc.base64String({ maxLength: 132 }));
    fc.assert(
      fc.property(fc.constantFrom(...algorithms), junk, (algorithm, signature) => {
        expect(holds(algorithm, "text", signature)).toBe(false);
      }),
      { numRuns: 2000 },
    );
  });

  it("has one spelling in each form: none with spare bits, spaces, or half a padding", () => {
    const good = signText("HMAC_SHA256", vectors.secret, "text");
    expect(good).toMatch(/^.{43}=$/);
    const base64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const spare = `${good.slice(0, 42)}${base64[base64.indexOf(good[42]!) + 1]}=`;
    for (const bad of [spare, ` ${good}`, `${good}=`, `${good.slice(0, 20)} ${good.slice(21)}`, ""]) {
      expect(readSignature("HMAC_SHA256", bad), bad).toBeUndefined();
    }
    expect(readSignature("HMAC_SHA512", `${"A".repeat(86)}=`)).toBeUndefined();
  });

  test("what is no key checks nothing", () => {
    expect(verifyingKey("ED25519", "AAAA")).toBeUndefined();
    expect(() => signText("ED25519", vectors.secret, "text")).toThrow();
  });
});

describe("the headers of a signed request", () => {
  const request = {
    keyId: mintId("key"),
    algorithm: "ED25519" as const,
    secret: vectors.privateKey,
    method: "POST",
    path: "/v1/orders?dry=true",
    account: "desk",
    body: "{}",
  };

  it("say to a gateway what was signed", () => {
    const headers = signedHeaders(request);
    const header = (name: string) => headers[name];
    const read = readSignedHeaders(header, request)!;
    expect(isSigned(header)).toBe(true);
    expect(read.content).toMatchObject({ keyId: request.keyId, account: "desk", path: request.path });
    expect(holds("ED25519", read.canonicalRequest, read.signature)).toBe(true);
    const elsewhere = readSignedHeaders(header, { ...request, path: "/v1/withdrawals" })!;
    expect(holds("ED25519", elsewhere.canonicalRequest, elsewhere.signature)).toBe(false);
    expect(signedHeaders(request)[SIGNED_HEADERS.nonce]).not.toBe(headers[SIGNED_HEADERS.nonce]);
    expect(Object.keys(signedHeaders({ ...request, account: "" }))).not.toContain(SIGNED_HEADERS.account);
  });

  it("are none where one is missing, sent twice or malformed", () => {
    const headers = signedHeaders(request);
    for (const name of Object.values(SIGNED_HEADERS)) {
      if (name === SIGNED_HEADERS.account) continue;
      for (const value of [undefined, "", `${headers[name]}, ${headers[name]}`, "ö".repeat(9000)]) {
        const header = (asked: string) => (asked === name ? value : headers[asked]);
        expect(readSignedHeaders(header, request), `${name}: ${value}`).toBeUndefined();
      }
    }
  });

  it("never throw, whatever is in them", () => {
    const values = fc.dictionary(
      fc.constantFrom(...Object.values(SIGNED_HEADERS)),
      fc.string({ unit: "binary" }),
    );
    fc.assert(
      fc.property(values, fc.string(), (given, path) => {
        expect(readSignedHeaders((name) => given[name], { method: "GET", path })).toBeUndefined();
      }),
    );
  });
});
