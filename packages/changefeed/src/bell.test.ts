import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bellSubject, decodeBell, encodeBell } from "./bell.ts";

const silent = { entityIds: [] };
const bytes = (text: string) => Buffer.from(text);

describe("a bell", () => {
  it("says what changed", () => {
    const entityIds = ["key_1", "acc_2"];
    expect(decodeBell(encodeBell({ entityIds }))).toEqual({ entityIds });
    expect(bellSubject("identity")).not.toBe(bellSubject("metering"));
  });

  it("names nobody when it would name very many", () => {
    const entityIds = Array.from({ length: 65 }, (_, i) => `key_${i}`);
    expect(decodeBell(encodeBell({ entityIds }))).toEqual(silent);
  });

  it("is taken from any bytes, and names only texts", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 10_000 }), (hostile) => {
        expect(decodeBell(hostile)).toEqual(silent);
      }),
    );
    fc.assert(
      fc.property(fc.json(), (json) => {
        for (const id of decodeBell(bytes(json)).entityIds) expect(id).toBeTypeOf("string");
      }),
    );
    const many = JSON.stringify({ entityIds: Array.from({ length: 65 }, () => "a") });
    const long = JSON.stringify({ entityIds: ["a".repeat(8192)] });
    for (const hostile of [
      "",
      "null",
      "7",
      "[]",
      '{"entityIds":{"length":3}}',
      '{"__proto__":null}',
      many,
      long,
    ]) {
      expect(decodeBell(bytes(hostile)), hostile.slice(0, 40)).toEqual(silent);
    }
    expect(decodeBell(bytes('{"entityIds":["a",null,{},7,"b"]}'))).toEqual({ entityIds: ["a", "b"] });
  });
});
