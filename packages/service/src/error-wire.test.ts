import { fromBinary } from "@bufbuild/protobuf";
import { ErrorReason } from "@gatehouse/proto/common";
import { StatusSchema } from "@gatehouse/proto/rpc";
import { type ServiceError, status } from "@grpc/grpc-js";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { connectError, failureFrom, grpcError } from "./error-wire.ts";
import { Failure, type FailureCode, invalid, notFound, REASONS } from "./failure.ts";

it("the reasons are those of the proto", () => {
  const names = Object.keys(ErrorReason).filter(
    (name) => Number.isNaN(Number(name)) && name !== "UNSPECIFIED",
  );
  expect([...REASONS]).toEqual(names);
});

it("what is foreign and what does not exist are one answer", () => {
  expect(notFound("account")).toMatchObject({ code: "NOT_FOUND", message: "no such account in reach" });
});

const codes = Object.keys(status).filter(
  (name) => Number.isNaN(Number(name)) && name !== "OK",
) as FailureCode[];
const shortText = fc.string({ maxLength: 30 });
const failures = fc
  .record({
    code: fc.constantFrom(...codes),
    reason: fc.constantFrom(...REASONS),
    message: shortText,
    violations: fc.array(fc.record({ field: shortText, description: shortText }), { maxLength: 5 }),
    quota: fc.array(fc.record({ subject: shortText, description: shortText }), { maxLength: 3 }),
    metadata: fc.dictionary(fc.stringMatching(/^[a-z_]{1,10}$/), shortText),
    retryAfterMs: fc.option(fc.integer({ min: 0, max: 1e9 }), { nil: undefined }),
  })
  .map((init) => new Failure(init));

function parts({ code, reason, message, violations, quota, metadata, retryAfterMs }: Failure) {
  return { code, reason, message, violations, quota, metadata: { ...metadata }, retryAfterMs };
}

describe("a failure", () => {
  it("comes back from grpc-js as it went", () => {
    fc.assert(
      fc.property(failures, (failure) => {
        const error = Object.assign(new Error("x"), grpcError(failure)) as ServiceError;
        expect(parts(failureFrom(error))).toEqual(parts(failure));
      }),
    );
  });

  it("is a ConnectError with the same code and message", () => {
    fc.assert(
      fc.property(failures, (failure) => {
        const error = connectError(failure);
        expect([error.code, error.rawMessage]).toEqual([status[failure.code], failure.message]);
      }),
    );
  });

  it("stays small enough for an HTTP/2 trailer, however much is wrong, and says that there is more", () => {
    const many = Array.from({ length: 1000 }, (_, index) => ({
      field: `items[${index}].name`,
      description: "é".repeat(300),
    }));
    const { details, metadata } = grpcError(invalid(many));
    const packed = metadata.get("grpc-status-details-bin")[0] as Buffer;
    expect(encodeURI(details).length + packed.toString("base64").length).toBeLessThan(8192);
    expect(fromBinary(StatusSchema, packed).details).toHaveLength(2);
    const { violations } = failureFrom(Object.assign(new Error("x"), grpcError(invalid(many))));
    expect(violations.at(-1)!.description).toBe(`and ${1000 - violations.length + 1} more`);
  });

  it("with half a surrogate pair in its message does not break the transport", () => {
    const { details } = grpcError(invalid([{ field: "name", description: "\ud800" }]));
    expect(() => encodeURI(details)).not.toThrow();
  });

  it("is made of anything that a client may catch", () => {
    expect(failureFrom(new TypeError("boom"))).toMatchObject({ code: "UNKNOWN", message: "the call failed" });
    const bare = Object.assign(new Error("x"), { code: status.DEADLINE_EXCEEDED, details: "late" });
    expect(failureFrom(bare)).toMatchObject({ code: "DEADLINE_EXCEEDED", reason: "SOURCE_UNAVAILABLE" });
  });
});
