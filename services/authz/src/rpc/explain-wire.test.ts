import { create, toJson } from "@bufbuild/protobuf";
import { ExplainRequestSchema, VerifyRequestSchema } from "@gatehouse/proto/authz";
import { expect, it } from "vitest";
import { explainedCall } from "./explain-wire.ts";

const fieldsOf = ({ fields }: typeof VerifyRequestSchema | typeof ExplainRequestSchema) =>
  fields.map(({ number, name, proto }) => [number, name, proto.type, proto.typeName, proto.label]);

it("an ExplainRequest is a VerifyRequest, so that the same body asks for both", () => {
  expect(fieldsOf(ExplainRequestSchema)).toEqual(fieldsOf(VerifyRequestSchema));
});

it("and is read as one, with all that it has", () => {
  const whole = {
    key: "k",
    resource: "weather.read",
    account: "team",
    charges: [{ meter: "tokens", units: 7n }],
    requestId: "r",
    atLeastAsFresh: ["t"],
    clientIp: "192.0.2.1",
    forwardedFor: "192.0.2.2",
    integration: "zapier",
    http: { method: "GET", path: "/" },
    signed: { keyId: "key_1", nonce: "n", timestamp: { seconds: 1n, nanos: 0 } },
    reserveTtl: { seconds: 60n, nanos: 0 },
  };
  const read = explainedCall(create(ExplainRequestSchema, whole));
  expect(toJson(VerifyRequestSchema, read)).toEqual(
    toJson(VerifyRequestSchema, create(VerifyRequestSchema, whole)),
  );
  expect(Object.keys(whole).sort()).toEqual(
    VerifyRequestSchema.fields.map(({ localName }) => localName).sort(),
  );
});
