import { type DescMessage, type DescMethod, fromJson, type JsonValue, toBinary } from "@bufbuild/protobuf";
import { failureFrom } from "@gatehouse/service";
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import type { JsonAnswer } from "../system/json-call.ts";
import { badFieldsIn, reasonIn } from "../system/json-call.ts";
import type { System } from "../system/system.ts";
import { processOf } from "../system/transports.ts";
import type { Json } from "./hostile-value.ts";

/** What came back, whichever way. `code` is `OK` or the gRPC code's name; a violation's field as it is named. */
export interface Answer {
  readonly code: string;
  readonly reason: string;
  readonly fields: readonly string[];
  readonly text: string;
}

/** Longer than anything takes: after it a call hangs. */
const HANG_MS = 20_000;

/** POST and JSON. */
export async function askJson(system: System, key: string, method: DescMethod, body: Json): Promise<Answer> {
  const response = await fetch(
    `http://${processOf(system, method).httpAddress}/${method.parent.typeName}/${method.name}`,
    {
      method: "POST",
      headers: { "content-type": "application/json", "x-api-key": key },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(HANG_MS),
    },
  );
  const text = await response.text();
  if (response.ok) return { code: "OK", reason: "", fields: [], text };
  const answer: JsonAnswer = { status: response.status, text, headers: {}, body: JSON.parse(text) };
  const code = String(answer.body.code).toUpperCase();
  return { code, reason: reasonIn(answer) ?? "", fields: badFieldsIn(answer), text };
}

/** gRPC, where the message can be said in it at all; else undefined. */
export async function askGrpc(
  system: System,
  key: string,
  method: DescMethod,
  body: Json,
): Promise<Answer | undefined> {
  let bytes: Uint8Array;
  try {
    bytes = toBinary(method.input, fromJson(method.input, body as JsonValue));
  } catch {
    return undefined;
  }
  return askBytes(system, key, method, bytes);
}

/** gRPC with whatever bytes for a message. */
export async function askBytes(
  system: System,
  key: string,
  method: DescMethod,
  bytes: Uint8Array,
): Promise<Answer> {
  const { grpcAddress } = processOf(system, method);
  const client = clientOf(grpcAddress);
  const metadata = new Metadata();
  metadata.set("x-api-key", key);
  const options = { deadline: Date.now() + HANG_MS };
  const path = `/${method.parent.typeName}/${method.name}`;
  const raw = (value: Buffer) => value;
  try {
    if (method.methodKind === "unary") {
      await new Promise<void>((resolve, reject) => {
        client.makeUnaryRequest(path, raw, raw, Buffer.from(bytes), metadata, options, (error) =>
          error ? reject(error) : resolve(),
        );
      });
    } else {
      const call = client.makeServerStreamRequest(path, raw, raw, Buffer.from(bytes), metadata, options);
      for await (const _ of call);
    }
    return { code: "OK", reason: "", fields: [], text: "" };
  } catch (error) {
    const { code, reason, message, violations } = failureFrom(error as ServiceError);
    return { code, reason, fields: violations.map(({ field }) => field), text: message };
  }
}

const clients = new Map<string, Client>();

function clientOf(address: string): Client {
  const client = clients.get(address) ?? new Client(address, credentials.createInsecure());
  clients.set(address, client);
  return client;
}

export function closeClients(): void {
  for (const client of clients.values()) client.close();
  clients.clear();
}

/** Codes of what is the service's fault, or nobody's. */
const FAULTS = new Set([
  "INTERNAL",
  "UNKNOWN",
  "DATA_LOSS",
  "UNIMPLEMENTED",
  "DEADLINE_EXCEEDED",
  "UNAVAILABLE",
  "CANCELLED",
]);

/** What is wrong with an answer to a hostile request; undefined where nothing is. */
export function faultOf(
  { code, reason, fields, text }: Answer,
  message: DescMessage,
  body: Json,
): string | undefined {
  if (code === "OK") return undefined;
  if (FAULTS.has(code) || reason === "INTERNAL") return `${code} (${reason}): ${text.slice(0, 300)}`;
  if (reason === "") return `${code} without a reason: ${text.slice(0, 300)}`;
  const stray = fields.filter((field) => !isFieldOf(message, field, body));
  return stray.length === 0 ? undefined : `names no field of ${message.name}: ${stray.join().slice(0, 300)}`;
}

/** Is `first_key.scopes[2]` a field of the message, or one that the request made up? */
export function isFieldOf(message: DescMessage, path: string, body: Json): boolean {
  // Bytes or text that are no message at all: the whole is at fault. What has no name has a number.
  if (path === "" || /^#\d+$/.test(path)) return true;
  const [, name, rest] = /^(\w+)(?:\[[^\]]*\]?)?(?:\.(.*))?$/su.exec(path) ?? [];
  const field = message.fields.find((each) => each.name === name);
  if (field === undefined) return isMadeUp(path, body);
  if (rest === undefined || field.message === undefined) return true;
  return isFieldOf(field.message, rest, body);
}

// Long names are cut short, strange ones are quoted.
function isMadeUp(path: string, body: Json): boolean {
  const shown = path.startsWith('"') ? String(JSON.parse(path)) : path.replace(/…$/u, "");
  return namesIn(body).some((name) => name.startsWith(shown));
}

function namesIn(body: Json): string[] {
  if (typeof body !== "object" || body === null) return [];
  const within = Array.isArray(body) ? body.slice(0, 3) : Object.values(body);
  return [...(Array.isArray(body) ? [] : Object.keys(body)), ...within.flatMap(namesIn)];
}
