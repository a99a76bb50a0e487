import { fromBinary } from "@bufbuild/protobuf";
import { BadRequestSchema, ErrorInfoSchema } from "@gatehouse/proto/rpc";

/** An answer over HTTP, as it came. */
export interface JsonAnswer {
  readonly status: number;
  readonly text: string;
  readonly headers: Readonly<Record<string, string>>;
  // biome-ignore lint/suspicious/noExplicitAny: what curl would show; tests look at what they expect in it.
  readonly body: any;
}

/** One call as curl would make it: POST, JSON, a key in a header. `method` is `gatehouse.….Service/Rpc`. */
export async function jsonCall(
  httpAddress: string,
  key: string | undefined,
  method: string,
  body: unknown,
): Promise<JsonAnswer> {
  const response = await fetch(`http://${httpAddress}/${method}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...(key !== undefined && { "x-api-key": key }) },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(20_000),
  });
  const text = await response.text();
  const headers = Object.fromEntries(response.headers);
  return { status: response.status, text, headers, body: JSON.parse(text) };
}

interface Detail {
  readonly type: string;
  readonly value: string;
}

/** The fields that an error names as bad. */
export function badFieldsIn({ body }: JsonAnswer): string[] {
  const detail = detailOf(body, "google.rpc.BadRequest");
  if (detail === undefined) return [];
  return fromBinary(BadRequestSchema, Buffer.from(detail.value, "base64")).fieldViolations.map(
    ({ field }) => field,
  );
}

/** The reason in an error, such as `NOT_FOUND`. */
export function reasonIn({ body }: JsonAnswer): string | undefined {
  const detail = detailOf(body, "google.rpc.ErrorInfo");
  return detail && fromBinary(ErrorInfoSchema, Buffer.from(detail.value, "base64")).reason;
}

function detailOf(body: { details?: readonly Detail[] }, type: string): Detail | undefined {
  return body.details?.find((detail) => detail.type === type);
}
