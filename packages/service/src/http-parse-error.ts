import type { DescMessage, JsonValue } from "@bufbuild/protobuf";
import { Code, type ConnectError } from "@connectrpc/connect";
import type { UniversalServerRequest, UniversalServerResponse } from "@connectrpc/connect/protocol";
import { codeToHttpStatus, errorToJsonBytes } from "@connectrpc/connect/protocol-connect";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import { connectError } from "./error-wire.ts";
import { Failure, invalid } from "./failure.ts";
import { findJsonFault, isJsonObject } from "./json-fault.ts";
import { REQUEST_BYTES_MAX } from "./limits.ts";

/** An RPC's request as it came, for an answer that says what is wrong with it. */
export interface SentRequest {
  readonly input: DescMessage;
  readonly encoding: string | null;
  /** The body as far as it was read: Connect stops at its bound. Empty where it is not JSON. */
  readonly chunks: readonly Uint8Array[];
}

/** The same request, and a record of it. */
export function recordRequest(
  request: UniversalServerRequest,
  input: DescMessage,
): { request: UniversalServerRequest; sent: SentRequest } {
  const chunks: Uint8Array[] = [];
  const sent = { input, encoding: request.header.get("content-encoding"), chunks };
  const isJson = /^application\/json\b/i.test(request.header.get("content-type") ?? "");
  const body = request.body as AsyncIterable<Uint8Array>;
  return { request: isJson ? { ...request, body: recorded(body, chunks) } : request, sent };
}

async function* recorded(body: AsyncIterable<Uint8Array>, chunks: Uint8Array[]): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    chunks.push(chunk);
    yield chunk;
  }
}

/**
 * A body that does not parse never reaches our handlers: Connect answers it on its own, without details, and
 * calls malformed binary an internal error. Such answers are the only unary errors without details; they are
 * given the form that all our errors have, naming the field.
 */
export async function dressParseError(
  reply: UniversalServerResponse,
  sent: SentRequest,
): Promise<UniversalServerResponse> {
  if (reply.status === 200 || reply.header?.get("content-type") !== "application/json" || !reply.body) {
    return reply;
  }
  const bytes = await uncompressed(await Array.fromAsync(reply.body), reply.header.get("content-encoding"));
  const { code, message, details } = JSON.parse(Buffer.from(bytes).toString()) as ErrorBody;
  const error = details === undefined ? await parseError(code, message ?? "", sent) : undefined;
  const body = error ? errorToJsonBytes(error, undefined) : bytes;
  const header = new Headers(reply.header);
  header.delete("content-encoding");
  header.set("content-length", String(body.byteLength));
  return { ...reply, status: error ? statusOf(error) : reply.status, header, body: once(body) };
}

interface ErrorBody {
  readonly code: string;
  readonly message?: string;
  readonly details?: unknown;
}

async function parseError(
  code: string,
  message: string,
  sent: SentRequest,
): Promise<ConnectError | undefined> {
  if (code === "resource_exhausted") {
    const message = `the request is larger than ${REQUEST_BYTES_MAX} bytes`;
    return connectError(new Failure({ code: "RESOURCE_EXHAUSTED", reason: "REQUEST_TOO_LARGE", message }));
  }
  if (code === "internal" && message.startsWith("parse binary")) {
    return connectError(malformed(`the body is not a message of ${sent.input.typeName}`));
  }
  if (code !== "invalid_argument") {
    return undefined;
  }
  // Not everything that Connect calls invalid is in the body: a header may be.
  const isOfBody = message.startsWith("cannot decode ");
  return connectError(isOfBody ? await bodyFailure(message, sent) : malformed(message));
}

async function bodyFailure(message: string, { input, encoding, chunks }: SentRequest): Promise<Failure> {
  const json = jsonIn(await uncompressed(chunks, encoding));
  if (!isJsonObject(json)) {
    return malformed(`the body is not a JSON object of ${input.typeName}`);
  }
  const fault = findJsonFault(input, json);
  if (fault !== undefined) return invalid([fault]);
  // What JSON.parse forgives: of a key that stands twice in one object it takes the last.
  const twice = /duplicate object key "(.+)"$/s.exec(message)?.[1];
  return twice === undefined
    ? malformed(message)
    : invalid([{ field: twice.slice(0, 100), description: "is set twice" }]);
}

// Not 429, as Connect has it: to come again later does not help.
function statusOf({ code }: ConnectError): number {
  return code === Code.ResourceExhausted ? 413 : codeToHttpStatus(code);
}

function malformed(message: string): Failure {
  return new Failure({ code: "INVALID_ARGUMENT", reason: "INVALID_FIELD", message });
}

function jsonIn(bytes: Uint8Array): JsonValue | undefined {
  try {
    return JSON.parse(Buffer.from(bytes).toString());
  } catch {
    return undefined;
  }
}

async function uncompressed(chunks: readonly Uint8Array[], encoding: string | null): Promise<Uint8Array> {
  const bytes = Buffer.concat(chunks);
  const compression = [compressionGzip, compressionBrotli].find(({ name }) => name === encoding);
  // Twice the request's bound: an error quotes at most the request.
  return compression ? compression.decompress(bytes, 2 * REQUEST_BYTES_MAX) : bytes;
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
