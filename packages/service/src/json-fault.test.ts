import { fromJson, type JsonObject } from "@bufbuild/protobuf";
import { BatchVerifyRequestSchema, VerifyRequestSchema } from "@gatehouse/proto/authz";
import { CreateKeyRequestSchema } from "@gatehouse/proto/identity";
import { SetLimitRequestSchema } from "@gatehouse/proto/metering";
import { expect, test } from "vitest";
import { findJsonFault } from "./json-fault.ts";

const fine = { meter: "requests", units: "1" };

test.each([
  ["an unknown field", VerifyRequestSchema, { no: 1 }, "no", "no such field"],
  ["a field without a name", VerifyRequestSchema, { "": 1 }, '""', "no such field"],
  ["a wrong scalar", VerifyRequestSchema, { key: 3 }, "key", /^expected string/],
  [
    "the first of two",
    VerifyRequestSchema,
    { resource: "x", requestId: 1, key: 2 },
    "request_id",
    /^expected string/,
  ],
  [
    "a field of an item",
    VerifyRequestSchema,
    { charges: [fine, fine, { units: 1.5 }, fine] },
    "charges[2].units",
    /int64/,
  ],
  [
    "an unknown field of an item",
    VerifyRequestSchema,
    { charges: [{ no: 1 }] },
    "charges[0].no",
    "no such field",
  ],
  ["an item that is none", VerifyRequestSchema, { charges: [fine, 7] }, "charges[1]", "must be an object"],
  ["an item that is null", VerifyRequestSchema, { charges: [null] }, "charges[0]", "must be an object"],
  [
    "a scalar item",
    VerifyRequestSchema,
    { at_least_as_fresh: ["a", 1] },
    "at_least_as_fresh[1]",
    /^expected string/,
  ],
  ["a list that is none", VerifyRequestSchema, { charges: {} }, "charges", "must be an array"],
  [
    "a list in a list",
    BatchVerifyRequestSchema,
    { requests: [{}, { charges: [fine, { units: true }] }] },
    "requests[1].charges[1].units",
    /int64/,
  ],
  [
    "an unknown name of an enum",
    CreateKeyRequestSchema,
    { kind: "KING" },
    "kind",
    /^must be one of KEY_KIND_MASTER,/,
  ],
  ["a bad time", CreateKeyRequestSchema, { expiresAt: "soon" }, "expires_at", /2026-01-31T12:00:00Z/],
  ["a bad map", CreateKeyRequestSchema, { labels: { a: 1 } }, "labels", /expected string/],
  [
    "a field under both of its names",
    CreateKeyRequestSchema,
    { expiresAt: null, expires_at: null },
    "expires_at",
    "is set twice",
  ],
  ["a bad span", SetLimitRequestSchema, { rate: { interval: "1h" } }, "rate.interval", /1\.5s/],
  [
    "the second member of a oneof",
    SetLimitRequestSchema,
    { quota: {}, account: "a", rate: {} },
    "rate",
    "at most one may be set of rate, quota",
  ],
] as const)("%s is named by its path", (_what, message, json, field, description) => {
  expect(() => fromJson(message, json as JsonObject)).toThrow();
  const fault = findJsonFault(message, json as JsonObject);
  expect(fault).toEqual({
    field,
    description: typeof description === "string" ? description : expect.stringMatching(description),
  });
});

test("a request that decodes has none", () => {
  const json = { key: "k", charges: [fine, fine], requestId: null };
  fromJson(VerifyRequestSchema, json);
  expect(findJsonFault(VerifyRequestSchema, json)).toBeUndefined();
});

test.each([0, 1, 500, 998, 999])("of a thousand items the bad one is found at %i", (at) => {
  const json = { at_least_as_fresh: Array.from({ length: 1000 }, (_, i) => (i === at ? 1 : "")) };
  expect(findJsonFault(VerifyRequestSchema, json)?.field).toBe(`at_least_as_fresh[${at}]`);
});
