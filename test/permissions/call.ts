import { type DescMethod, fromJson, type JsonValue } from "@bufbuild/protobuf";
import { type Failure, grpcClient } from "@gatehouse/service";
import { reasonIn } from "../system/json-call.ts";
import type { System } from "../system/system.ts";
import { allMethods, nameOf, processOf } from "../system/transports.ts";
import { until } from "../system/until.ts";

/** What became of a call. */
export interface Outcome {
  /** `ok`, or a short word for the reason of the refusal: see {@link WORDS}. */
  readonly word: string;
  /** The answer as text. */
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: what curl would show.
  readonly body: any;
}

/** The words of the matrix. A reason without one stands there as it is. */
export const WORDS: Readonly<Record<string, string>> = {
  CREDENTIAL_MISSING: "none",
  CREDENTIAL_INVALID: "bad",
  KEY_DISABLED: "dis",
  SCOPE_DENIED: "scope",
  PROVIDER_ONLY: "prov",
  NOT_FOUND: "nf",
  OWN_CEILING: "own",
  SELF_LOCKOUT: "self",
  KEY_KIND_DENIED: "kind",
  GRANT_EXCEEDS_HOLDER: "gx",
  TYPE_NOT_ENABLED: "type",
};

/** What decides nothing and says to try again, as a busy machine makes services say. */
const UNDECIDED: ReadonlySet<string> = new Set(["SOURCE_UNAVAILABLE", "BUSY", "DECISION_CODE_INDETERMINATE"]);
/** A stream that neither answers nor ends, but was not refused, is let go after this. */
const STREAM_MS = 5000;
const CALL_MS = 20_000;

/**
 * One call with a credential, as `authorization: Bearer`, or with none, made again until it is decided. `name` is
 * `identity.v1.KeyService/GetKey`.
 */
export async function call(
  system: System,
  secret: string | undefined,
  name: string,
  body: object,
): Promise<Outcome> {
  return until(`${name} is decided`, async () => {
    const outcome = await callOnce(system, secret, name, body);
    if (UNDECIDED.has(outcome.word)) throw new Error(`${outcome.word}: ${outcome.text}`);
    return outcome;
  });
}

async function callOnce(
  system: System,
  secret: string | undefined,
  name: string,
  body: object,
): Promise<Outcome> {
  const method = methods.get(name);
  if (method === undefined) throw new Error(`no RPC ${name}`);
  return method.methodKind === "unary"
    ? unary(system, secret, method, body)
    : streaming(system, secret, method, body);
}

/** Every RPC of every service. */
export const methods: ReadonlyMap<string, DescMethod> = new Map(
  allMethods().map((method) => [nameOf(method), method]),
);

async function unary(
  system: System,
  secret: string | undefined,
  method: DescMethod,
  body: object,
): Promise<Outcome> {
  const { httpAddress } = processOf(system, method);
  const response = await fetch(`http://${httpAddress}/${method.parent.typeName}/${method.name}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headersOf(secret) },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(CALL_MS),
  });
  const text = await response.text();
  const answer = { status: response.status, text, headers: {}, body: JSON.parse(text) };
  return {
    word: response.ok ? wordOfAnswer(answer.body) : wordOf(reasonIn(answer), answer.body.code),
    text,
    body: answer.body,
  };
}

async function streaming(
  system: System,
  secret: string | undefined,
  method: DescMethod,
  body: object,
): Promise<Outcome> {
  const client = grpcClient(method.parent, processOf(system, method).grpcAddress, {
    headers: headersOf(secret),
  });
  const open = client[method.localName] as unknown as (
    request: object,
    options: object,
  ) => AsyncIterable<object>;
  const signal = AbortSignal.timeout(STREAM_MS);
  try {
    for await (const part of open(fromJson(method.input, body as JsonValue), { signal })) {
      return { word: "ok", text: String(part), body: part };
    }
    return { word: "ok", text: "", body: {} };
  } catch (error) {
    if (signal.aborted) return { word: "ok", text: "", body: {} };
    const { reason, code, message } = error as Failure;
    return { word: wordOf(reason, code), text: message, body: {} };
  } finally {
    client.close();
  }
}

function headersOf(secret: string | undefined): Record<string, string> {
  return secret === undefined ? {} : { authorization: `Bearer ${secret}` };
}

// Some answers are OK and say that there is no such thing: decisions, and reports of leaks.
function wordOfAnswer(body: {
  code?: string;
  responses?: { code: string }[];
  reports?: { keyId: string }[];
  deniedResponse?: { body: string };
}): string {
  if (body.deniedResponse !== undefined) {
    const { code } = JSON.parse(body.deniedResponse.body) as { code: string };
    return WORDS[code] ?? code;
  }
  const decision = body.code ?? body.responses?.[0]?.code;
  if (decision !== undefined) {
    if (decision === "DECISION_CODE_VALID") return "ok";
    return decision === "DECISION_CODE_NOT_FOUND" ? "nf" : decision;
  }
  return body.reports?.[0]?.keyId === "" ? "nf" : "ok";
}

function wordOf(reason: string | undefined, code: string): string {
  if (code.toLowerCase() === "unimplemented") return "todo";
  return WORDS[reason ?? ""] ?? reason ?? code;
}
