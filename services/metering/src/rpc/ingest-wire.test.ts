import { hash } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { IngestBatchRequestSchema, UsageBatchSchema } from "@gatehouse/proto/metering";
import { Failure } from "@gatehouse/service/failure";
import { expect, test } from "vitest";
import { batchOf } from "./ingest-wire.ts";

test("of a batch whose every row is bad some are named, however many there are", () => {
  const usage = Array.from({ length: 300_000 }, () => ({}));
  const payload = toBinary(UsageBatchSchema, create(UsageBatchSchema, { usage }));
  const digest = hash("sha256", payload, "buffer");
  const request = create(IngestBatchRequestSchema, {
    producer: "a",
    epoch: 1n,
    sequence: 1n,
    digest,
    payload,
  });
  const named = Array.from({ length: 20 }, (_, i) => `payload.usage[${i}]`);
  expect(fieldsIn(() => batchOf(request))).toEqual(named);
});

function fieldsIn(call: () => unknown): string[] {
  try {
    call();
    return [];
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return error.violations.map(({ field }) => field);
  }
}
