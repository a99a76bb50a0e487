import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeFreshness, encodeFreshness } from "./position.ts";

const incarnation = "5b0c1a9e-7d0e-4f2a-9d3b-0123456789ab";

describe("a freshness token", () => {
  it("reads back as it was written", () => {
    const source = fc.constantFrom("identity" as const, "metering" as const);
    fc.assert(
      fc.property(source, fc.uuid(), fc.nat({ max: 10 ** 15 - 1 }), (name, id, revision) => {
        const token = encodeFreshness(name, { incarnation: id, revision });
        expect(decodeFreshness(token)).toEqual({ source: name, incarnation: id, revision });
      }),
    );
  });

  it("is nothing else: no other text is read as one", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(decodeFreshness(text)).toBeUndefined();
      }),
    );
    const token = encodeFreshness("identity", { incarnation, revision: 7 });
    const encoded = (text: string) => Buffer.from(text).toString("base64url");
    for (const forged of [
      `${token}=`,
      `${token} `,
      `!${token}`,
      `${token}${token}`,
      encoded(`identity:${incarnation}:07`),
      encoded(`identity:${incarnation}:-7`),
      encoded(`identity:${incarnation}:1e3`),
      encoded(`identity:${incarnation}:9999999999999999`),
      encoded(`billing:${incarnation}:7`),
      encoded(`identity:${incarnation.toUpperCase()}:7`),
      "A".repeat(100_000),
    ]) {
      expect(decodeFreshness(forged), forged.slice(0, 80)).toBeUndefined();
    }
  });
});
