import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { DecisionCode, type VerifyRequest, VerifyResponseSchema } from "@gatehouse/proto/authz";
import {
  Authorization,
  type CheckResponse,
  CheckResponseSchema,
  HeaderValueOption_HeaderAppendAction,
} from "@gatehouse/proto/envoy";
import { createLog, type Guard, type Reply, route, type ServingService, serve } from "@gatehouse/service";
import { invalid, overloaded, unauthenticated } from "@gatehouse/service/failure";
import { Client, credentials, Metadata, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { extAuthzHandlers } from "./ext-authz.ts";

/** Check over real gRPC, with bytes as Envoy sends them: most of what is in them our subset does not have. */

type Verified = MessageInitShape<typeof VerifyResponseSchema>;
const valid = create(VerifyResponseSchema, { code: DecisionCode.VALID, keyId: "key_1", accountId: "acc_1" });

let asked: VerifyRequest[] = [];
let verify: (request: VerifyRequest) => Reply<Verified>;
const fault = vi.fn();
const guard: Guard<undefined> = () => (call) => {
  if (call.header("authorization") !== "Bearer verifier") throw unauthenticated("CREDENTIAL_INVALID");
  return undefined;
};

let server: ServingService;
let client: Client;

beforeAll(async () => {
  const handlers = extAuthzHandlers({
    verify: (request) => {
      asked.push(request);
      return verify(request);
    },
    fault,
  });
  server = await serve({
    grpc: { host: "127.0.0.1", port: 0 },
    http: { host: "127.0.0.1", port: 0 },
    routes: [route(Authorization, handlers)],
    guard,
    log: createLog({ name: "test", level: "silent" }),
  });
  client = new Client(server.grpcAddress, credentials.createInsecure());
});
afterAll(async () => {
  client.close();
  await server.close();
});
beforeEach(() => {
  asked = [];
  verify = () => valid;
  fault.mockReset();
});

interface Call {
  readonly headers?: Readonly<Record<string, string>>;
  readonly extensions?: Readonly<Record<string, string>>;
  readonly bytes?: Uint8Array;
  readonly credential?: string;
}

async function check({ headers, extensions, bytes, credential = "verifier" }: Call): Promise<CheckResponse> {
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${credential}`);
  const request = bytes ?? envoyRequest(headers ?? { authorization: "Bearer gth_acc_1" }, extensions ?? {});
  const raw = (value: Buffer) => value;
  const reply = await new Promise<Buffer>((resolve, reject) => {
    client.makeUnaryRequest(
      "/envoy.service.auth.v3.Authorization/Check",
      raw,
      raw,
      Buffer.from(request),
      metadata,
      { deadline: Date.now() + 10_000 },
      (error, value) => (error ? reject(error) : resolve(value!)),
    );
  });
  return fromBinary(CheckResponseSchema, reply);
}

/** Field numbers from Envoy's documentation of AttributeContext. */
function envoyRequest(
  headers: Readonly<Record<string, string>>,
  extensions: Readonly<Record<string, string>>,
): Uint8Array {
  const http = message(
    [1, "8674665223082153551"],
    [2, "GET"],
    ...Object.entries(headers).map((header) => [3, entry(...header)] as const),
    [4, "/weather/berlin?units=metric"],
    [5, "api.example.com"],
    [6, "https"],
    [7, "units=metric"],
    [9, -1],
    [10, "HTTP/2"],
    [12, Uint8Array.of(0xff, 0x00)],
  );
  const address = (ip: string) => message([1, message([1, 0], [2, ip], [3, 51234])]);
  const attributes = message(
    [1, message([1, address("192.0.2.7")], [2, "edge"], [4, "spiffe://a/b"], [5, "-----BEGIN"])],
    [2, message([1, address("10.0.0.1")], [3, entry("app", "web")])],
    [4, message([1, message([1, 1_700_000_000], [2, 5])], [2, http])],
    ...Object.entries(extensions).map((extension) => [10, entry(...extension)] as const),
    [11, message([1, entry("envoy.filters", "x")])],
    [12, message([1, "api.example.com"])],
    [13, message()],
  );
  return message([1, attributes], [99, "of an Envoy to come"]);
}

type Field = readonly [number: number, value: string | number | Uint8Array];

function message(...fields: readonly Field[]): Uint8Array {
  const writer = new BinaryWriter();
  for (const [number, value] of fields) {
    if (typeof value === "number") writer.tag(number, WireType.Varint).int64(value);
    else if (typeof value === "string") writer.tag(number, WireType.LengthDelimited).string(value);
    else writer.tag(number, WireType.LengthDelimited).bytes(value);
  }
  return writer.finish();
}

function entry(key: string, value: string): Uint8Array {
  return message([1, key], [2, value]);
}

const GATEHOUSE = { "x-api-key": "gth_acc_1" };

function denied({ httpResponse }: CheckResponse) {
  if (httpResponse.case !== "deniedResponse") throw new Error(`answered ${httpResponse.case}`);
  const { status, headers, body } = httpResponse.value;
  const named = headers.map(({ header }) => [header!.key, header!.value]);
  return { status: status!.code, headers: Object.fromEntries(named), body: JSON.parse(body) };
}

describe("a call as Envoy tells of it", () => {
  test("is asked of Verify", async () => {
    const headers = { authorization: "Bearer gth_acc_1", "x-forwarded-for": "198.51.100.7,192.0.2.7" };
    await check({ headers: { ...headers, "gatehouse-account": "team" } });
    expect(asked).toMatchObject([
      {
        key: "gth_acc_1",
        resource: "",
        http: { method: "GET", path: "/weather/berlin?units=metric" },
        account: "team",
        clientIp: "192.0.2.7",
        forwardedFor: "198.51.100.7,192.0.2.7",
        requestId: "",
        charges: [],
      },
    ]);
  });

  test("is what the route's configuration says", async () => {
    await check({ extensions: { resource: "weather.read", integration: "zapier", account: "team" } });
    expect(asked).toMatchObject([{ resource: "weather.read", integration: "zapier", account: "team" }]);
    expect(asked[0]!.http).toBeUndefined();
  });

  test("is refused where the configuration says what it cannot", async () => {
    expect(denied(await check({ extensions: { resouce: "weather.read" } }))).toMatchObject({
      status: 500,
      body: { code: "SETUP" },
    });
    expect(asked).toEqual([]);
  });

  test("without anything in it is refused, not allowed", async () => {
    for (const bytes of [message(), message([1, message()]), message([1, message([4, message()])])]) {
      expect(denied(await check({ bytes })).status).toBe(401);
    }
    expect(asked).toEqual([]);
  });
});

describe("the answer", () => {
  test("sets and takes away headers of a call that may pass", async () => {
    const { status: said, httpResponse } = await check({});
    expect(said?.code).toBe(0);
    if (httpResponse.case !== "okResponse") throw new Error("not OK");
    const { headers, headersToRemove } = httpResponse.value;
    expect(headers.map(({ header }) => header)).toMatchObject([
      { key: "gatehouse-key-id", value: "key_1" },
      { key: "gatehouse-key-kind", value: "unspecified" },
      { key: "gatehouse-account-id", value: "acc_1" },
    ]);
    const overwrite = HeaderValueOption_HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD;
    expect(headers.map(({ appendAction }) => appendAction)).toEqual(headers.map(() => overwrite));
    expect(headersToRemove).toEqual(expect.arrayContaining(["authorization", "gatehouse-organization-id"]));
  });

  test.each([
    ["at once", (reply: Verified) => reply],
    ["later", (reply: Verified) => Promise.resolve(reply)],
    [
      "with the turn",
      (reply: Verified) => ({
        whenReady: (callback: (error: unknown, value?: Verified) => void) =>
          void setImmediate(() => callback(undefined, reply)),
      }),
    ],
  ])("comes %s", async (_when, replied) => {
    verify = () => replied(valid);
    expect((await check({ headers: GATEHOUSE })).httpResponse.case).toBe("okResponse");
    verify = () => replied({ ...valid, code: DecisionCode.SCOPE_DENIED });
    const { status: httpStatus, headers } = denied(await check({ headers: GATEHOUSE }));
    expect([httpStatus, headers["content-type"]]).toEqual([403, "application/problem+json"]);
    // A header that cannot be sent is a fault of ours.
    verify = () => replied({ ...valid, accountSlug: "a\r\nb" });
    expect(denied(await check({ headers: GATEHOUSE })).status).toBe(503);
    expect(fault).toHaveBeenCalledOnce();
  });

  test.each([
    [
      "thrown",
      (error: Error): never => {
        throw error;
      },
    ],
    ["rejected", (error: Error) => Promise.reject(error)],
    [
      "called back",
      (error: Error) => ({ whenReady: (callback: (error: unknown) => void) => callback(error) }),
    ],
  ])("to a failure, %s, is a denial", async (_how, failed) => {
    const statuses: number[] = [];
    for (const error of [
      overloaded("full"),
      new TypeError("oops"),
      invalid([{ field: "key", description: "no" }]),
    ]) {
      verify = () => failed(error);
      statuses.push(denied(await check({})).status);
    }
    expect(statuses).toEqual([503, 503, 400]);
    expect(fault).toHaveBeenCalledExactlyOnceWith(expect.any(TypeError));
  });
});

test("a gateway that may not ask is told by gRPC", async () => {
  await expect(check({ credential: "somebody" })).rejects.toMatchObject({ code: status.UNAUTHENTICATED });
  expect(asked).toEqual([]);
});

test("bytes that are no request are told by gRPC", async () => {
  await expect(check({ bytes: Uint8Array.of(0x0a, 0x05, 0x01) })).rejects.toMatchObject({
    code: status.INVALID_ARGUMENT,
  });
});
