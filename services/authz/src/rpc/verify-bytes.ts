import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";
import type { BatchVerifyResponse, BindingLimit, VerifyResponse } from "@gatehouse/proto/authz";
import { MessageWriter } from "./message-writer.ts";

/**
 * What authz answers all day, as bytes. Writing an answer with `toBinary` was the largest part of a warm Verify that
 * was not grpc-js's own; a test holds these to the same bytes, whatever fields the messages come to have.
 */

const writer = new MessageWriter();

/** The bytes are valid until the next answer is written: whoever sends them copies them first. */
export function verifyBytes(response: VerifyResponse): Buffer {
  writer.reset();
  write(response);
  return writer.take();
}

/** As {@link verifyBytes}. */
export function batchVerifyBytes({ responses }: BatchVerifyResponse): Buffer {
  writer.reset();
  for (const response of responses) {
    const start = writer.open(1);
    write(response);
    writer.close(start);
  }
  return writer.take();
}

function write(response: VerifyResponse): void {
  writer.int32(1, response.code);
  writer.text(2, response.reason);
  writer.text(3, response.decisionId);
  writer.text(4, response.keyId);
  writer.int32(5, response.keyKind);
  writer.text(6, response.keyName);
  writer.map(7, response.keyLabels);
  writer.text(8, response.accountId);
  writer.text(9, response.accountSlug);
  writer.map(10, response.accountLabels);
  writer.text(11, response.organizationId);
  writer.items(12, response.scopes);
  if (response.bindingLimit !== undefined) binding(13, response.bindingLimit);
  writer.items(14, response.warnings);
  if (response.retryAfter !== undefined) time(15, response.retryAfter);
  writer.text(16, response.freshness);
  if (response.staleness !== undefined) time(17, response.staleness);
  writer.items(18, response.roles);
  if (response.upstreamHeader !== undefined) {
    const start = writer.open(19);
    writer.text(1, response.upstreamHeader.name);
    writer.text(2, response.upstreamHeader.value);
    writer.close(start);
  }
  if (response.reservedUntil !== undefined) time(20, response.reservedUntil);
  for (const { currency, micros } of response.cost) {
    const start = writer.open(21);
    writer.text(1, currency);
    writer.int64(2, micros);
    writer.close(start);
  }
}

function binding(field: number, limit: BindingLimit): void {
  const start = writer.open(field);
  writer.text(1, limit.limitId);
  writer.text(2, limit.nodeId);
  writer.text(3, limit.meter);
  writer.int64(4, limit.remaining);
  if (limit.resetsAt !== undefined) time(5, limit.resetsAt);
  writer.int64(6, limit.allowed);
  if (limit.window !== undefined) time(7, limit.window);
  writer.close(start);
}

function time(field: number, { seconds, nanos }: Duration | Timestamp): void {
  const start = writer.open(field);
  writer.int64(1, seconds);
  writer.int32(2, nanos);
  writer.close(start);
}
