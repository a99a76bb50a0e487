import { once } from "node:events";
import { connect as connectSocket } from "node:net";
import { setImmediate } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { create, createFileRegistry, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { AuthzService, VerifyRequestSchema } from "@gatehouse/proto/authz";
import { FeedService, GetHeadRequestSchema } from "@gatehouse/proto/identity";
import { ErrorInfoSchema } from "@gatehouse/proto/rpc";
import { Client, credentials } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Call } from "./call.ts";
import { type GrpcClient, grpcClient } from "./client-grpc.ts";
import { Failure, invalid, unauthenticated } from "./failure.ts";
import { accessRule, type Guard, guardedUnary, route } from "./handlers.ts";
import { createLog } from "./log.ts";
import { createRegistry, RpcMetrics } from "./metrics.ts";
import { type ServingService, serve } from "./server.ts";

// One small service in the shape of authz: what each call does hangs on the key it presents.
const lines: string[] = [];
const log = createLog({
  name: "test",
  level: "info",
  destination: { write: (line) => void lines.push(line) },
});

const guard: Guard<string> = () => (call) => {
  const credential = call.header("authorization");
  if (credential === undefined) {
    throw unauthenticated("CREDENTIAL_MISSING");
  }
  if (credential === "revoked") {
    throw unauthenticated("CREDENTIAL_INVALID");
  }
  return credential === "slow" ? Promise.resolve("slow") : credential;
};

function verify(request: { key: string; resource: string }, call: Call<string>) {
  const reply = { keyId: call.principal, accountId: call.peerAddress ?? "", reason: request.resource };
  call.setHeader("x-principal", call.principal);
  switch (request.key) {
    case "fault":
      throw new Error("SELECT secret FROM keys");
    case "invalid":
      throw invalid([
        { field: "key", description: "is bad" },
        { field: "resource", description: "is bad too" },
      ]);
    case "busy":
      throw new Failure({
        code: "RESOURCE_EXHAUSTED",
        reason: "OVERLOADED",
        message: "busy",
        retryAfterMs: 1500,
      });
    case "promise":
      return Promise.resolve(reply);
    case "later":
      return {
        whenReady: (callback: (error: unknown, value?: typeof reply) => void) =>
          void setImmediate().then(() => callback(null, reply)),
      };
    case "hang":
      return new Promise<typeof reply>((resolve) =>
        call.draining.addEventListener("abort", () => resolve(reply)),
      );
    default:
      return reply;
  }
}

const authz = route<typeof AuthzService, string>(AuthzService, {
  verify,
  explain: () => ({}),
  heartbeat: () => ({}),
  batchVerify: (request) => ({ responses: request.requests.map(({ key }) => ({ keyId: key })) }),
});

const feed = route<typeof FeedService, string>(FeedService, {
  getHead: () => ({ head: { incarnation: "i", revision: 7n } }),
  listChanges: () => ({}),
  resolveKeys: () => ({}),
  resolveAccounts: () => ({}),
  resolveMeters: () => ({}),
  resolveHashes: () => ({}),
  resolveCatalog: () => ({}),
  recordActivity: () => ({}),
  claimNonce: () => ({}),
  async *snapshot(_request, call) {
    // Its own reads, between the pages, do not hear of it when the caller hangs up.
    for (let revision = 1n; call.principal === "flood" && revision <= 500n; revision++) {
      yield { position: { incarnation: "x".repeat(100_000), revision } };
      await setImmediate();
    }
    for (let revision = 1n; revision <= 3n; revision++) {
      yield { position: { incarnation: call.principal, revision } };
    }
    if (call.principal === "broken") {
      throw new Failure({ code: "OUT_OF_RANGE", reason: "LOG_TRUNCATED", message: "begin again" });
    }
    if (call.principal === "endless") {
      await once(call.draining, "abort");
    }
  },
});

function start(graceMs = 2000): Promise<ServingService> {
  return serve({
    grpc: { host: "127.0.0.1", port: 0 },
    http: { host: "127.0.0.1", port: 0 },
    routes: [authz, feed],
    guard,
    log,
    metrics: new RpcMetrics(createRegistry("test")),
    extra(request, response) {
      if (request.url === "/boom") throw new Error("boom");
      if (request.url !== "/extra") return false;
      response.end("extra");
      return true;
    },
    graceMs,
  });
}

let server: ServingService;
let client: GrpcClient<typeof AuthzService>;
let feedClient: GrpcClient<typeof FeedService>;
const headers = { authorization: "me" };

beforeAll(async () => {
  server = await start();
  client = grpcClient(AuthzService, server.grpcAddress, { headers });
  feedClient = grpcClient(FeedService, server.grpcAddress, { headers });
});

afterAll(async () => {
  client.close();
  feedClient.close();
  await server.close();
});

function post(path: string, body: unknown, more: Record<string, string> = headers): Promise<Response> {
  return fetch(`http://${server.httpAddress}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...more },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

const VERIFY = "/gatehouse.authz.v1.AuthzService/Verify";
const timeoutMs = 5000;

describe("the same handler answers on both transports", () => {
  it.each(["sync", "promise", "later"])("when it returns a reply by way of %s", async (key) => {
    const reply = await client.verify({ key, resource: "weather.read" }, { timeoutMs });
    expect(reply).toMatchObject({ keyId: "me", accountId: "127.0.0.1", reason: "weather.read" });
    const response = await post(VERIFY, { key, resource: "weather.read" });
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(response.headers.get("x-principal")).toBe("me");
    expect(await response.json()).toMatchObject({
      keyId: "me",
      accountId: "127.0.0.1",
      reason: "weather.read",
    });
  });

  it("when it streams, and when the stream fails after messages", async () => {
    const revisions = async (principal: string) => {
      const seen: bigint[] = [];
      try {
        for await (const part of feedClient.snapshot({}, { headers: { authorization: principal } })) {
          seen.push(part.position!.revision);
        }
      } catch (error) {
        expect(error).toMatchObject({ code: "OUT_OF_RANGE", reason: "LOG_TRUNCATED" });
        seen.push(-1n);
      }
      return seen;
    };
    expect(await revisions("me")).toEqual([1n, 2n, 3n]);
    expect(await revisions("broken")).toEqual([1n, 2n, 3n, -1n]);
    const web = createGrpcWebTransport({ baseUrl: `http://${server.httpAddress}`, httpVersion: "1.1" });
    const stream = createClient(FeedService, web).snapshot({}, { headers: { authorization: "broken" } });
    const seen: bigint[] = [];
    await expect(async () => {
      for await (const part of stream) seen.push(part.position!.revision);
    }).rejects.toMatchObject({ code: Code.OutOfRange });
    expect(seen).toEqual([1n, 2n, 3n]);
  });

  it("when a stream's caller hangs up: the call is cancelled, which is no fault", async () => {
    const cancelled = async () => {
      const metrics = await (await fetch(`http://${server.httpAddress}/metrics`)).text();
      return /^gatehouse_rpc_requests_total\{method="[^"]*Snapshot",code="CANCELLED".* (\d+)/m.exec(
        metrics,
      )?.[1];
    };
    const logged = lines.length;
    for (let hungUp = 1; hungUp <= 3; hungUp++) {
      const hangUp = new AbortController();
      const response = await fetch(
        `http://${server.httpAddress}/gatehouse.identity.v1.FeedService/Snapshot`,
        {
          method: "POST",
          headers: { authorization: "flood", "content-type": "application/connect+json" },
          body: enveloped("{}"),
          signal: hangUp.signal,
        },
      );
      expect((await response.body!.getReader().read()).done).toBe(false);
      hangUp.abort();
      await expect.poll(cancelled, { timeout: 5000 }).toBe(String(hungUp));
    }
    expect(lines.slice(logged)).toEqual([]);
  });

  it("and a synchronous reply leaves in the same turn", () => {
    const run = guardedUnary(authz, AuthzService.method.verify, guard);
    const call = { header: () => "me", setHeader: () => {} } as unknown as Parameters<typeof run>[1];
    const order: string[] = [];
    run(create(VerifyRequestSchema, { key: "sync" }), call, () => order.push("replied"));
    order.push("returned");
    expect(order).toEqual(["replied", "returned"]);
  });
});

describe("the guard", () => {
  it("stands before every unary and streaming call, on both transports", async () => {
    const stranger = grpcClient(AuthzService, server.grpcAddress);
    const strangeFeed = grpcClient(FeedService, server.grpcAddress);
    const refused = { code: "UNAUTHENTICATED", reason: "CREDENTIAL_MISSING" };
    await expect(stranger.verify({}, { timeoutMs })).rejects.toMatchObject(refused);
    await expect(Array.fromAsync(strangeFeed.snapshot({}))).rejects.toMatchObject(refused);
    stranger.close();
    strangeFeed.close();
    const challenge = async (more: Record<string, string>) => {
      const { status, headers } = await post(VERIFY, {}, more);
      return [status, headers.get("www-authenticate")];
    };
    expect(await challenge({})).toEqual([401, 'Bearer realm="gatehouse"']);
    expect(await challenge({ authorization: "revoked" })).toEqual([
      401,
      'Bearer realm="gatehouse", error="invalid_token"',
    ]);
    expect(await challenge(headers)).toEqual([200, null]);
    const transport = createConnectTransport({ baseUrl: `http://${server.httpAddress}`, httpVersion: "1.1" });
    const stream = createClient(FeedService, transport).snapshot({});
    await expect(Array.fromAsync(stream)).rejects.toMatchObject({ code: Code.Unauthenticated });
  });

  it("may answer later", async () => {
    const reply = await client.verify({ key: "x" }, { timeoutMs, headers: { authorization: "slow" } });
    expect(reply.keyId).toBe("slow");
  });

  it("stops the service from starting where an RPC states no access rule", () => {
    const message = { name: "M" };
    const rpc = { name: "Open", inputType: ".t.M", outputType: ".t.M" };
    const proto = {
      name: "t.proto",
      package: "t",
      messageType: [message],
      service: [{ name: "S", method: [rpc] }],
    };
    const service = createFileRegistry(create(FileDescriptorSetSchema, { file: [proto] })).getService("t.S")!;
    expect(() => accessRule(service.method.open!)).toThrow("t.S/Open states no access rule");
    expect(accessRule(AuthzService.method.verify)).toMatchObject({ scope: "gatehouse.verify" });
  });

  it("stops the service from starting where it refuses an RPC", async () => {
    const refusing: Guard<string> = (method) => {
      throw new Error(`no rule for ${method.name}`);
    };
    const options = { grpc: { host: "127.0.0.1", port: 0 }, http: { host: "127.0.0.1", port: 0 }, log };
    await expect(serve({ ...options, routes: [authz], guard: refusing })).rejects.toThrow(
      "no rule for Verify",
    );
  });
});

describe("errors", () => {
  it("carry their details over gRPC", async () => {
    await expect(client.verify({ key: "invalid" }, { timeoutMs })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      reason: "INVALID_FIELD",
      violations: [
        { field: "key", description: "is bad" },
        { field: "resource", description: "is bad too" },
      ],
    });
    await expect(client.verify({ key: "busy" }, { timeoutMs })).rejects.toMatchObject({
      reason: "OVERLOADED",
      retryAfterMs: 1500,
    });
  });

  it("carry their details and a fitting status over HTTP", async () => {
    const response = await post(VERIFY, { key: "invalid" });
    expect(response.status).toBe(400);
    const body = (await response.json()) as { details: { type: string; debug: unknown }[] };
    expect(body.details.map(({ type }) => type)).toEqual(["google.rpc.ErrorInfo", "google.rpc.BadRequest"]);
    const busy = await post(VERIFY, { key: "busy" });
    expect([busy.status, busy.headers.get("retry-after")]).toEqual([429, "2"]);
  });

  it("that are faults say nothing but an incident, which the log explains", async () => {
    const failure = await client.verify({ key: "fault" }, { timeoutMs }).catch((error: Failure) => error);
    expect(failure).toMatchObject({ code: "INTERNAL", reason: "INTERNAL", message: "internal error" });
    const { incident } = (failure as Failure).metadata;
    expect(lines.find((line) => line.includes(incident!))).toContain("SELECT secret FROM keys");
    const body = await (await post(VERIFY, { key: "fault" })).text();
    expect(body).toContain("internal error");
    expect(body).not.toContain("SELECT");
  });
});

describe("a request that cannot be understood", () => {
  it("is refused over JSON, naming the unknown field, with details", async () => {
    const response = await post(VERIFY, { keey: "x" });
    expect(response.status).toBe(400);
    const body = (await response.json()) as { message: string; details: { debug?: unknown }[] };
    expect(body.message).toBe("keey: no such field");
    expect(JSON.stringify(body.details)).toContain("google.rpc.BadRequest");
  });

  it("is refused when malformed, over JSON, Connect binary and gRPC", async () => {
    expect((await post(VERIFY, "{")).status).toBe(400);
    expect((await post(VERIFY, { key: 3 })).status).toBe(400);
    expect((await post(VERIFY, { [`k${"y".repeat(20_000)}`]: 3 })).status).toBe(400);
    const binary = await post(VERIFY, "\u0007", { ...headers, "content-type": "application/proto" });
    expect(binary.status).toBe(400);
    expect(await rawGrpc(Buffer.from([7]))).toMatchObject({ code: 3 });
  });

  it("is refused for an unknown binary field, but taken between our own services", async () => {
    const $unknown = [{ no: 999, wireType: 0, data: new Uint8Array([1]) }];
    const strange = Object.assign(create(VerifyRequestSchema), { $unknown });
    await expect(client.verify(strange, { timeoutMs })).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    const transport = createConnectTransport({ baseUrl: `http://${server.httpAddress}`, httpVersion: "1.1" });
    const error = await createClient(AuthzService, transport)
      .verify(strange, { headers })
      .catch(ConnectError.from);
    expect((error as ConnectError).findDetails(ErrorInfoSchema)).toMatchObject([{ reason: "INVALID_FIELD" }]);
    const head = Object.assign(create(GetHeadRequestSchema), { $unknown });
    expect((await feedClient.getHead(head, { timeoutMs })).head?.revision).toBe(7n);
  });

  it("is refused when it is larger than the bound", async () => {
    const resource = "x".repeat(4 * 1024 * 1024);
    await expect(client.verify({ resource }, { timeoutMs })).rejects.toMatchObject({
      code: "RESOURCE_EXHAUSTED",
    });
    const packed = await fetch(`http://${server.httpAddress}${VERIFY}`, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json", "content-encoding": "gzip" },
      body: gzipSync(JSON.stringify({ resource })),
    });
    for (const refused of [await post(VERIFY, { resource }), packed]) {
      expect(refused.status).toBe(413);
      expect(await refused.json()).toMatchObject({
        code: "resource_exhausted",
        message: "the request is larger than 4194304 bytes",
        details: [{ type: "google.rpc.ErrorInfo", debug: { reason: "REQUEST_TOO_LARGE" } }],
      });
    }
  });

  it.each(["", "{", "[]", "7", "null", '"text"'])(
    "is refused when its body is %j, naming no field",
    async (body) => {
      const refused = await post(VERIFY, body);
      expect(refused.status).toBe(400);
      const error = (await refused.json()) as { message: string; details: { type: string }[] };
      expect(error.message).toBe("the body is not a JSON object of gatehouse.authz.v1.VerifyRequest");
      expect(error.details.map(({ type }) => type)).toEqual(["google.rpc.ErrorInfo"]);
    },
  );

  it("is refused naming a nested field, also when compressed, and a key that stands twice", async () => {
    const bad = JSON.stringify({ key: "x", charges: [{ units: 1 }, { units: 1.5 }] });
    const packed = await fetch(`http://${server.httpAddress}${VERIFY}`, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json", "content-encoding": "gzip" },
      body: gzipSync(bad),
    });
    for (const refused of [await post(VERIFY, bad), packed]) {
      expect(await refused.json()).toMatchObject({
        message: expect.stringMatching(/^charges\[1\]\.units: /),
      });
    }
    const twice = await post(VERIFY, '{"key": "x", "key": "y"}');
    expect(await twice.json()).toMatchObject({ message: "key: is set twice" });
  });

  it("is refused with what to do where its method or content type is none of an RPC", async () => {
    const url = `http://${server.httpAddress}${VERIFY}`;
    const got = await fetch(url);
    expect([got.status, got.headers.get("allow")]).toEqual([405, "POST"]);
    expect(await got.json()).toMatchObject({ message: expect.stringContaining("POST") });
    const untyped = await fetch(url, { method: "POST", body: new Uint8Array([123, 125]) });
    expect(untyped.status).toBe(415);
    expect(await untyped.json()).toMatchObject({ message: expect.stringContaining("application/json") });
    const stream = await post("/gatehouse.identity.v1.FeedService/Snapshot", {});
    expect(stream.status).toBe(415);
    expect(await stream.json()).toMatchObject({
      message:
        "this RPC streams: call it with content-type: application/connect+json, by gRPC-Web or by gRPC",
    });
  });

  it("is refused, and the process lives, when the Host header makes no URL", async () => {
    const socket = connectSocket(Number(server.httpAddress.split(":")[1]), "127.0.0.1");
    socket.write(`POST ${VERIFY} HTTP/1.1\r\nHost: a b%\r\nContent-Length: 0\r\n\r\n`);
    const [answer] = (await once(socket, "data")) as [Buffer];
    expect(answer.toString()).toContain("400");
    socket.destroy();
    expect((await fetch(`http://${server.httpAddress}/healthz`)).status).toBe(200);
  });
});

describe("the plain HTTP endpoints", () => {
  it("tell life, readiness, metrics, and 404 in JSON", async () => {
    const get = (path: string) => fetch(`http://${server.httpAddress}${path}`);
    expect((await get("/healthz")).status).toBe(200);
    expect(await (await get("/readyz")).json()).toEqual({ ready: false, checks: { serving: false } });
    server.setServing(true);
    expect((await get("/readyz")).status).toBe(200);
    await client.verify({ key: "x" }, { timeoutMs });
    const metrics = await (await get("/metrics")).text();
    expect(metrics).toMatch(
      /^gatehouse_rpc_requests_total\{method="gatehouse.authz.v1.AuthzService\/Verify",code="OK",service="test"\} \d/m,
    );
    expect(metrics).toMatch(
      /^gatehouse_rpc_duration_seconds_bucket\{method="[^"]*Verify",le="\+Inf",service="test"\} \d/m,
    );
    expect(metrics).toContain("nodejs_eventloop_lag_seconds");
    expect(await (await get("/extra")).text()).toBe("extra");
    const boom = await get("/boom");
    expect([boom.status, await boom.json()]).toMatchObject([500, { message: "internal error" }]);
    const lost = await get("/elsewhere");
    expect([lost.status, lost.headers.get("content-type")]).toEqual([404, "application/json"]);
  });
});

/** A message as Connect's streams carry it: a byte of flags, its length, itself. */
function enveloped(json: string): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(Buffer.byteLength(json), 1);
  return Buffer.concat([head, Buffer.from(json)]);
}

function rawGrpc(bytes: Buffer): Promise<unknown> {
  const raw = new Client(server.grpcAddress, credentials.createInsecure());
  return new Promise((resolve) => {
    raw.makeUnaryRequest(
      VERIFY,
      () => bytes,
      (reply) => reply,
      {},
      (error, reply) => {
        raw.close();
        resolve(error ?? reply);
      },
    );
  });
}

it("a batch of the largest size fits the request bound", () => {
  const one = create(VerifyRequestSchema, {
    key: "k".repeat(120),
    resource: "r".repeat(200),
    requestId: "i".repeat(100),
  });
  expect(toBinary(VerifyRequestSchema, one).byteLength * 1000).toBeLessThan(4 * 1024 * 1024);
});
