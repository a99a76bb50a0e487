import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import { codeToHttpStatus, errorToJsonBytes } from "@connectrpc/connect/protocol-connect";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import { connectError } from "./error-wire.ts";
import { Failure, invalid } from "./failure.ts";
import { REQUEST_BYTES_MAX } from "./limits.ts";

/**
 * A body that does not parse never reaches our handlers: Connect answers it on its own, without details, and
 * calls malformed binary an internal error. Such answers are the only unary errors without details; they are
 * given the form that all our errors have, naming the field.
 */
export async function dressParseError(reply: UniversalServerResponse): Promise<UniversalServerResponse> {
  if (reply.status === 200 || reply.header?.get("content-type") !== "application/json" || !reply.body) {
    return reply;
  }
  const bytes = await uncompressed(await Array.fromAsync(reply.body), reply.header.get("content-encoding"));
  const { code, message, details } = JSON.parse(Buffer.from(bytes).toString()) as ErrorBody;
  const failure = details === undefined ? parseFailure(code, message ?? "") : undefined;
  const error = failure && connectError(failure);
  const body = error ? errorToJsonBytes(error, undefined) : bytes;
  const header = new Headers(reply.header);
  header.delete("content-encoding");
  header.set("content-length", String(body.byteLength));
  return { ...reply, status: error ? codeToHttpStatus(error.code) : reply.status, header, body: once(body) };
}

interface ErrorBody {
  readonly code: string;
  readonly message?: string;
  readonly details?: unknown;
}

function parseFailure(code: string, message: string): Failure | undefined {
  if (code === "resource_exhausted") {
    const bound = `the request is larger than ${REQUEST_BYTES_MAX} bytes`;
    return new Failure({ code: "RESOURCE_EXHAUSTED", reason: "INVALID_FIELD", message: bound });
  }
  if (code === "internal" && message.startsWith("parse binary")) {
    return invalid([{ field: "", description: "not a message of this RPC" }]);
  }
  if (code !== "invalid_argument") {
    return undefined;
  }
  const unknown = /key "([^"]{1,100}).*" is unknown$/s.exec(message);
  if (unknown) {
    return invalid([{ field: unknown[1]!, description: "no such field" }]);
  }
  const field = /^cannot decode field [\w.]*\.(\w+) from JSON: (.*)$/s.exec(message);
  return invalid([{ field: field?.[1] ?? "", description: (field?.[2] ?? message).slice(0, 200) }]);
}

async function uncompressed(chunks: Uint8Array[], encoding: string | null): Promise<Uint8Array> {
  const bytes = Buffer.concat(chunks);
  const compression = [compressionGzip, compressionBrotli].find(({ name }) => name === encoding);
  // Twice the request's bound: an error quotes at most the request.
  return compression ? compression.decompress(bytes, 2 * REQUEST_BYTES_MAX) : bytes;
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
