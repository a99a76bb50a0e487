import {
  type DescField,
  type DescMessage,
  type DescOneof,
  fromJson,
  type JsonValue,
} from "@bufbuild/protobuf";
import type { Violation } from "./failure.ts";

type JsonObject = { readonly [key: string]: JsonValue };

/**
 * The first field, in the order of the JSON, that keeps it from being decoded as `message`; undefined if each is
 * fine. The path is spelled as in the proto: `charges[0].units`. A decoder's errors name a field without its path,
 * or none at all: so each part is decoded by itself, and the part that fails is looked into.
 */
export function findJsonFault(message: DescMessage, json: JsonObject): Violation | undefined {
  return inMessage(message, json, "");
}

export function isJsonObject(json: JsonValue | undefined): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

function inMessage(message: DescMessage, json: JsonObject, prefix: string): Violation | undefined {
  const seen = new Set<DescField | DescOneof>();
  for (const [key, value] of Object.entries(json)) {
    const field = message.fields.find(({ name, jsonName }) => key === name || key === jsonName);
    if (field === undefined) {
      return { field: `${prefix}${key.slice(0, 100) || '""'}`, description: "no such field" };
    }
    const path = `${prefix}${field.name}`;
    const oneof = field.fieldKind === "scalar" && value === null ? undefined : field.oneof;
    if (seen.has(field)) return { field: path, description: "is set twice" };
    if (oneof !== undefined && seen.has(oneof)) {
      const members = oneof.fields.map(({ name }) => name).join(", ");
      return { field: path, description: `at most one may be set of ${members}` };
    }
    seen.add(field).add(oneof ?? field);
    const fault = inField(field, value, path);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function inField(field: DescField, value: JsonValue, path: string): Violation | undefined {
  const problem = problemOf(field, value);
  if (problem === undefined) return undefined;
  if (field.fieldKind !== "list") return inValue(field, value, path, problem);
  if (!Array.isArray(value)) return { field: path, description: "must be an array" };
  const index = firstBad(field, value);
  const item = value[index]!;
  return inValue(field, item, `${path}[${index}]`, problemOf(field, [item]) ?? problem);
}

function inValue(field: DescField, value: JsonValue, path: string, problem: string): Violation {
  const isOwn = field.message !== undefined && !field.message.typeName.startsWith("google.protobuf.");
  const inside =
    isOwn && field.fieldKind !== "map" && isJsonObject(value)
      ? inMessage(field.message, value, `${path}.`)
      : undefined;
  return inside ?? { field: path, description: wanted(field) ?? problem };
}

/**
 * Halves the list until one item is left. A request may hold a million, and is not yet known to come from anybody:
 * found by halves the last one takes three times as long as decoding them all did, one by one twenty times.
 */
function firstBad(field: DescField, items: readonly JsonValue[]): number {
  let from = 0;
  for (let to = items.length; to - from > 1; ) {
    const middle = (from + to) >> 1;
    if (problemOf(field, items.slice(from, middle)) === undefined) from = middle;
    else to = middle;
  }
  return from;
}

function problemOf(field: DescField, value: JsonValue): string | undefined {
  try {
    fromJson(field.parent, { [field.name]: value });
    return undefined;
  } catch (error) {
    return (error as Error).message
      .replace(/^cannot decode (field|message|enum|oneof) \S+ from JSON:? ?/, "")
      .replace(/^list item #\d+: /, "")
      .slice(0, 200);
  }
}

/** What to send instead, where the decoder does not say. */
function wanted(field: DescField): string | undefined {
  if (field.enum !== undefined) {
    const names = field.enum.values.filter(({ number }) => number !== 0).map(({ name }) => name);
    return `must be one of ${names.join(", ")}`;
  }
  switch (field.fieldKind === "map" ? undefined : field.message?.typeName) {
    case undefined:
      return undefined;
    case "google.protobuf.Timestamp":
      return 'must be a time such as "2026-01-31T12:00:00Z"';
    case "google.protobuf.Duration":
      return 'must be seconds such as "1.5s"';
    default:
      return "must be an object";
  }
}
