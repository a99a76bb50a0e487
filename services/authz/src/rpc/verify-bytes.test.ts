import {
  create,
  type DescField,
  type DescMessage,
  type MessageInitShape,
  type MessageShape,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import { BatchVerifyResponseSchema, VerifyResponseSchema } from "@gatehouse/proto/authz";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { batchVerifyBytes, verifyBytes } from "./verify-bytes.ts";

test("an answer is written as the general writer writes it, whatever its fields hold", () => {
  fc.assert(
    fc.property(messages(VerifyResponseSchema), (response) => {
      expect(hex(verifyBytes(response))).toBe(hex(toBinary(VerifyResponseSchema, response)));
    }),
  );
});

test("so is a batch, of which each answer has a length of its own", () => {
  fc.assert(
    fc.property(fc.array(messages(VerifyResponseSchema), { maxLength: 20 }), (responses) => {
      const batch = create(BatchVerifyResponseSchema, { responses });
      expect(hex(batchVerifyBytes(batch))).toBe(hex(toBinary(BatchVerifyResponseSchema, batch)));
    }),
    { numRuns: 50 },
  );
});

test("what one huge answer took does not spoil the next", () => {
  const huge = create(VerifyResponseSchema, {
    scopes: Array.from({ length: 20_000 }, (_, i) => `scope.${i}é`),
  });
  const small = create(VerifyResponseSchema, { code: 1, keyId: "key_1" });
  for (const response of [small, huge, small]) {
    expect(hex(verifyBytes(response))).toBe(hex(toBinary(VerifyResponseSchema, response)));
  }
});

/** Anything that a message may hold, worked out from its fields, so that one which is added is tried, too. */
function messages<Desc extends DescMessage>(desc: Desc): fc.Arbitrary<MessageShape<Desc>> {
  const fields = desc.fields.map((field) => [field.localName, valuesOf(field)] as const);
  return fc
    .record(Object.fromEntries(fields), { requiredKeys: [] })
    .map((init) => create(desc, init as MessageInitShape<Desc>));
}

const texts = fc.oneof(
  fc.string(),
  fc.string({ unit: "binary", maxLength: 200 }),
  fc.constantFrom(
    "",
    "x".repeat(64),
    "x".repeat(65),
    "é".repeat(64),
    "\u{1F511}".repeat(50),
    "a".repeat(5000),
  ),
);

function valuesOf(field: DescField): fc.Arbitrary<unknown> {
  switch (field.fieldKind) {
    case "scalar":
      return scalar(field.scalar);
    case "enum":
      return fc.constantFrom(...field.enum.values.map(({ number }) => number));
    case "message":
      return messages(field.message);
    case "list":
      if (field.listKind === "message") return fc.array(messages(field.message), { maxLength: 4 });
      if (field.listKind !== "scalar") throw new Error(`no values for the list ${field.name}`);
      return fc.array(scalar(field.scalar));
    case "map":
      if (field.mapKind !== "scalar") throw new Error(`no values for the map ${field.name}`);
      return fc.dictionary(texts, scalar(field.scalar));
  }
}

function scalar(type: ScalarType): fc.Arbitrary<unknown> {
  switch (type) {
    case ScalarType.STRING:
      return texts;
    case ScalarType.INT64:
      return fc.oneof(
        fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
        fc.bigInt({ min: 0n, max: 300n }),
      );
    case ScalarType.INT32:
      return fc.integer();
    default:
      throw new Error(`no values for the scalar type ${ScalarType[type]}`);
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
