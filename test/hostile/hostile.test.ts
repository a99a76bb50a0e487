import { type DescMethod, fromJson, type JsonValue, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freshAccount, freshKey } from "../permissions/request.ts";
import { requests } from "../permissions/requests.ts";
import { makeWorld, type World } from "../permissions/world.ts";
import { nameOf, publicMethods } from "../system/transports.ts";
import { useSystem } from "../system/use-system.ts";
import { type Answer, askBytes, askGrpc, askJson, closeClients, faultOf, isFieldOf } from "./answer.ts";
import { type HostileOptions, hostileMessage, type Json } from "./hostile-value.ts";
import { type Rows, Stored } from "./stored.ts";

/**
 * P8: no input crashes a service, hangs it, or is accepted half. Every request message, with what nobody should send
 * in some of its fields: the answer is OK or a clear error, and after an error there is no row more than before.
 */

const system = useSystem({ replicas: [{}] });
const methods = publicMethods();
const SEED = Number(process.env.HOSTILE_SEED ?? Date.now() % 2 ** 31);
/** Requests for each RPC, by way. */
const RUNS = { json: 30, grpc: 20, bytes: 10 };

let world: World;
let known: readonly string[];
let stored: Stored;
/** A request of each RPC that goes through. */
const right = new Map<DescMethod, Readonly<Record<string, Json>>>();

beforeAll(async () => {
  console.log(`hostile requests: HOSTILE_SEED=${SEED}`);
  world = await makeWorld(system());
  stored = await Stored.open(system().databaseUrl);
  const { nextPageToken } = await world.made("identity.v1.AccountService/ListAccounts", { page_size: 1 });
  expect(nextPageToken).not.toBe("");
  // What is suspended, closed and revoked by these is nothing that the rest stands on.
  const decoy = await freshAccount(world);
  known = [nextPageToken, decoy, (await freshKey({ ...world, subaccount: decoy })).id, world.provider];
  for (const method of methods) {
    right.set(method, (await requests[nameOf(method)]!(world, "root")) as Record<string, Json>);
  }
}, 120_000);
afterAll(async () => {
  closeClients();
  await stored?.[Symbol.asyncDispose]();
});

/** What a request that may go through is made hostile from; `{}` in half of all. */
function bodies(method: DescMethod, typed: boolean): fc.Arbitrary<Json> {
  const options: HostileOptions = { typed, known };
  const hostile = hostileMessage(method.input, options);
  return fc
    .tuple(fc.boolean(), hostile)
    .map(([whole, bad]) => (whole ? merged(method, right.get(method)!, bad) : bad));
}

// Fields of a oneof exclude each other; the hostile one stays.
function merged(method: DescMethod, right: Readonly<Record<string, Json>>, bad: Json): Json {
  const of = (name: string) => method.input.fields.find((field) => field.name === name)?.oneof?.name ?? name;
  const taken = new Set(Object.keys(bad as object).map(of));
  const rest = Object.entries(right).filter(([name]) => !taken.has(of(name)));
  return Object.fromEntries([...rest, ...Object.entries(bad as object)]) as Json;
}

/** Asks with each of some values, and expects no fault in any answer and nothing stored by a refused one. */
async function attack<T>(
  runs: number,
  values: fc.Arbitrary<T>,
  ask: (value: T) => Promise<Answer | undefined>,
  faultIn: (answer: Answer, value: T) => string | undefined,
): Promise<void> {
  const faults: string[] = [];
  let before = await stored.rows();
  // Sampled, not shrunk: the seed and the number say which it was, and a megabyte printed helps nobody.
  for (const [n, value] of fc.sample(values, { seed: SEED, numRuns: runs }).entries()) {
    const answer = await ask(value);
    const after = await stored.rows();
    const fault = answer && (faultIn(answer, value) ?? halfAccepted(answer, before, after));
    if (fault !== undefined) faults.push(`${n}: ${fault} for ${JSON.stringify(value).slice(0, 300)}`);
    before = after;
  }
  expect(faults, `HOSTILE_SEED=${SEED}`).toEqual([]);
}

function halfAccepted({ code }: Answer, before: Rows, after: Rows): string | undefined {
  if (code === "OK" || JSON.stringify(before) === JSON.stringify(after)) return undefined;
  return `${code}, and ${JSON.stringify(before)} became ${JSON.stringify(after)}`;
}

describe.each(methods.map((method) => [nameOf(method), method] as const))("%s", (_name, method) => {
  const root = () => system().root.secret;
  const faultIn = (answer: Answer, body: Json) => faultOf(answer, method.input, body);

  // A stream is not served over plain JSON.
  if (method.methodKind === "unary") {
    test("stands hostile JSON", async () => {
      const ask = (body: Json) => askJson(system(), root(), method, body);
      await attack(RUNS.json, bodies(method, false), ask, faultIn);
    });
  }

  test("stands hostile messages over gRPC", async () => {
    const ask = (body: Json) => askGrpc(system(), root(), method, body);
    await attack(RUNS.grpc, bodies(method, true), ask, faultIn);
  });

  test("stands bytes that are no message", async () => {
    const bytes = brokenBytes(toBinary(method.input, fromJson(method.input, right.get(method) as JsonValue)));
    const ask = (value: Uint8Array) => askBytes(system(), root(), method, value);
    await attack(RUNS.bytes, bytes, ask, (answer) => faultIn(answer, {}));
  });
});

function brokenBytes(right: Uint8Array): fc.Arbitrary<Uint8Array> {
  const spliced = fc
    .tuple(fc.nat(right.length), fc.nat(right.length), fc.uint8Array({ maxLength: 12 }))
    .map(([from, to, put]) =>
      Buffer.concat([right.subarray(0, Math.min(from, to)), put, right.subarray(Math.max(from, to))]),
    );
  // A group in a group in a group, of a field that there is not.
  const nested = fc.constant(Buffer.concat(Array.from({ length: 100_000 }, () => Buffer.from([0xbb, 0x3e]))));
  const badText = fc.constant(Buffer.from([0x0a, 0x02, 0xc3, 0x28]));
  return fc.oneof(
    { weight: 8, arbitrary: spliced },
    { weight: 1, arbitrary: nested },
    { weight: 1, arbitrary: badText },
  );
}

describe("a body that is none", () => {
  test.each([
    [
      "JSON nested a hundred thousand times",
      `{"no_such_field":${"[".repeat(100_000)}${"]".repeat(100_000)}}`,
    ],
    ["half of one", '{"account":'],
    ["nothing", ""],
    ["five megabytes", JSON.stringify({ account: "x".repeat(5 * 1024 * 1024) })],
    ["bytes that are no UTF-8", Buffer.from([0x7b, 0x22, 0xc3, 0x28, 0x22, 0x3a, 0x31, 0x7d])],
  ])("%s is refused", async (_what, body) => {
    const response = await fetch(
      `http://${system().identity.httpAddress}/gatehouse.identity.v1.KeyService/GetKey`,
      {
        method: "POST",
        headers: { "content-type": "application/json", "x-api-key": system().root.secret },
        body,
      },
    );
    const { code } = (await response.json()) as { code: string };
    expect(["invalid_argument", "resource_exhausted"]).toContain(code);
    expect(response.status).toBeLessThan(500);
  });
});

test("after all that every service is up, and knows who calls", async () => {
  for (const { httpAddress } of [system().identity, system().metering, system().replicas[0]!.process]) {
    expect((await fetch(`http://${httpAddress}/readyz`)).status).toBe(200);
  }
  expect((await world.call("root", "identity.v1.KeyService/WhoAmI", {})).body.accountId).toBe(world.provider);
});

test("a fault, a code without a reason and a field that there is not are noticed", () => {
  const { input } = methods.find((method) => nameOf(method) === "identity.v1.AccountService/CreateAccount")!;
  const answer = {
    code: "INVALID_ARGUMENT",
    reason: "INVALID_FIELD",
    fields: ["first_key.scopes[2]"],
    text: "",
  };
  expect(faultOf(answer, input, {})).toBeUndefined();
  expect(faultOf({ ...answer, code: "INTERNAL" }, input, {})).toMatch("INTERNAL");
  expect(faultOf({ ...answer, reason: "" }, input, {})).toMatch("without a reason");
  expect(faultOf({ ...answer, fields: ["first_key.king"] }, input, {})).toMatch("first_key.king");
  expect(isFieldOf(input, "no_such_field", { no_such_field: 1 })).toBe(true);
});
