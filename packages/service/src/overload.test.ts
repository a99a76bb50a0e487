import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect as connectSocket, type Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { AuthzService, VerifyRequestSchema } from "@gatehouse/proto/authz";
import { FeedService } from "@gatehouse/proto/identity";
import { Client, credentials } from "@grpc/grpc-js";
import { afterEach, describe, expect, it, vi } from "vitest";
import { type GrpcClient, grpcClient } from "./client-grpc.ts";
import { type Guard, type Handlers, route } from "./handlers.ts";
import { createLog } from "./log.ts";
import { RpcMetrics } from "./metrics.ts";
import { type ServeOptions, type ServingService, serve } from "./server.ts";

const log = createLog({ name: "test", level: "silent" });
const anywhere = { host: "127.0.0.1", port: 0 };
const open: Guard<undefined> = () => () => undefined;
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

interface Started {
  readonly server: ServingService;
  readonly authz: GrpcClient<typeof AuthzService>;
  readonly feed: GrpcClient<typeof FeedService>;
  post(body: string, headers?: Record<string, string>): Promise<Response>;
}

async function start(
  handlers: Partial<Handlers<typeof AuthzService, undefined>>,
  options: Partial<ServeOptions<undefined>> = {},
): Promise<Started> {
  const none = () => ({});
  const authz = route<typeof AuthzService, undefined>(AuthzService, {
    verify: none,
    batchVerify: none,
    explain: none,
    heartbeat: none,
    ...handlers,
  });
  const feed = route<typeof FeedService, undefined>(FeedService, {
    getHead: none,
    listChanges: none,
    resolveKeys: none,
    resolveAccounts: none,
    resolveMeters: none,
    resolveHashes: none,
    resolveCatalog: none,
    recordActivity: none,
    claimNonce: none,
    async *snapshot() {},
  });
  const server = await serve({
    grpc: anywhere,
    http: anywhere,
    routes: [authz, feed],
    guard: open,
    log,
    ...options,
  });
  closing.push(() => server.close());
  server.setServing(true);
  const clients = {
    authz: grpcClient(AuthzService, server.grpcAddress),
    feed: grpcClient(FeedService, server.grpcAddress),
  };
  closing.push(() => {
    clients.authz.close();
    clients.feed.close();
  });
  const post = (body: string, headers: Record<string, string> = {}) =>
    fetch(`http://${server.httpAddress}/gatehouse.authz.v1.AuthzService/Verify`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body,
    });
  return { server, ...clients, post };
}

/** A handler whose calls wait until they are let go. */
function waiting() {
  const gate = Promise.withResolvers<object>();
  return { verify: vi.fn(() => gate.promise), letGo: () => gate.resolve({}) };
}

const timely = { timeoutMs: 10_000 };
// 90 MB pass through one process.
const patient = { timeout: 40_000 };
const patiently = { timeout: 15_000, interval: 50 };
const refused = { code: "RESOURCE_EXHAUSTED", reason: "OVERLOADED", retryAfterMs: 1000 };

describe("calls in flight", () => {
  it("are bounded over both transports together, and there is room again once they are answered", async () => {
    const { verify, letGo } = waiting();
    const { authz, post } = await start({ verify }, { maxCalls: 2, graceMs: 0 });
    const first = [authz.verify({}, timely), post("{}")] as const;
    await vi.waitFor(() => expect(verify).toHaveBeenCalledTimes(2), patiently);
    await expect(authz.verify({}, timely)).rejects.toMatchObject(refused);
    const answer = await post("{}");
    expect(answer.status).toBe(429);
    expect(answer.headers.get("retry-after")).toBe("1");
    expect(await answer.json()).toMatchObject({ code: "resource_exhausted" });
    expect(verify).toHaveBeenCalledTimes(2);
    letGo();
    expect((await first[1]).status).toBe(200);
    await first[0];
    await authz.verify({}, timely);
    expect((await post("{}")).status).toBe(200);
  });

  it("leave room for what services ask of each other, for health, readiness and metrics", async () => {
    const { verify, letGo } = waiting();
    const { authz, feed, server } = await start({ verify }, { maxCalls: 1 });
    const first = authz.verify({}, timely);
    await vi.waitFor(() => expect(verify).toHaveBeenCalledTimes(1), patiently);
    await feed.getHead({}, timely);
    for (const path of ["/healthz", "/readyz", "/metrics"]) {
      expect((await fetch(`http://${server.httpAddress}${path}`)).status).toBe(200);
    }
    const plain = new Client(server.grpcAddress, credentials.createInsecure());
    const health = await new Promise((resolve, reject) =>
      plain.makeUnaryRequest(
        "/grpc.health.v1.Health/Check",
        () => Buffer.alloc(0),
        (bytes: Buffer) => bytes.toString("hex"),
        {},
        (error, value) => (error ? reject(error) : resolve(value)),
      ),
    );
    expect(health).toBe("0801");
    plain.close();
    letGo();
    await first;
  });

  it("that fail give their room back", async () => {
    const verify = () => {
      throw new Error("a fault");
    };
    const { authz, post } = await start({ verify }, { maxCalls: 1 });
    for (let i = 0; i < 3; i++) {
      await expect(authz.verify({}, timely)).rejects.toMatchObject({ code: "INTERNAL" });
      expect((await post("{}")).status).toBe(500);
      expect((await post("no json")).status).toBe(400);
    }
  });

  it("that are refused are counted", async () => {
    const metrics = new RpcMetrics();
    const { authz } = await start({}, { maxCalls: 0, metrics });
    await expect(authz.verify({}, timely)).rejects.toMatchObject(refused);
    expect(await metrics.registry.metrics()).toMatch(/AuthzService\/Verify",code="RESOURCE_EXHAUSTED"\} 1/);
  });

  it(
    "hold no more bytes of large requests than there is room for, and small ones go on",
    patient,
    async () => {
      const { verify, letGo } = waiting();
      const { authz, post } = await start({ verify });
      const large = { key: "k".repeat(3 * 1024 * 1024) };
      const calls = Array.from({ length: 30 }, () =>
        authz.verify(large, { timeoutMs: 30_000 }).catch((error) => error),
      );
      await vi.waitFor(() => expect(verify).toHaveBeenCalledTimes(21), patiently);
      const small = authz.verify({}, timely);
      const other = post(JSON.stringify(large));
      await vi.waitFor(() => expect(verify).toHaveBeenCalledTimes(23), patiently);
      letGo();
      const codes = (await Promise.all(calls)).map((answer) => (answer as { code?: string }).code);
      expect(codes.filter((code) => code === "RESOURCE_EXHAUSTED")).toHaveLength(9);
      await small;
      expect((await other).status).toBe(200);
    },
  );
});

describe("compressed requests", () => {
  const path = "/gatehouse.authz.v1.AuthzService/Verify";
  const wait = { timeout: 40_000 };

  it("hold the room of what they turned out to be", wait, async () => {
    const { verify, letGo } = waiting();
    const { server } = await start({ verify });
    const body = gzipSync('{"key": "small"}');
    const headers = { "content-type": "application/json", "content-encoding": "gzip" };
    const url = `http://${server.httpAddress}${path}`;
    const calls: Promise<Response>[] = [];
    // Four times as many as would have room if each held that of the largest.
    for (let i = 0; i < 64; i++) {
      calls.push(fetch(url, { method: "POST", headers, body }));
      await vi.waitFor(() => expect(verify).toHaveBeenCalledTimes(i + 1), patiently);
    }
    letGo();
    for (const answer of await Promise.all(calls)) expect(answer.status).toBe(200);
  });

  it("hold it by gRPC-Web, too, however few bytes they came in", wait, async () => {
    const { verify, letGo } = waiting();
    const { server } = await start({ verify });
    const key = "k".repeat(4 * 1000 * 1000);
    const message = gzipSync(toBinary(VerifyRequestSchema, create(VerifyRequestSchema, { key })));
    const envelope = Buffer.alloc(5);
    envelope.writeUInt8(1);
    envelope.writeUInt32BE(message.length, 1);
    const body = Buffer.concat([envelope, message]);
    const headers = { "content-type": "application/grpc-web+proto", "grpc-encoding": "gzip" };
    const ask = () => fetch(`http://${server.httpAddress}${path}`, { method: "POST", headers, body });
    const calls: Promise<Response>[] = [];
    for (let i = 0; i < 16; i++) {
      calls.push(ask());
      await vi.waitFor(() => expect(verify).toHaveBeenCalledTimes(i + 1), patiently);
    }
    expect((await ask()).status).toBe(429);
    letGo();
    for (const answer of await Promise.all(calls)) expect(answer.status).toBe(200);
  });
});

describe("a service that is not ready", () => {
  it("listens once it is, or when it has waited long enough", async () => {
    let asked = 0;
    const late = () => {
      if (++asked < 3) throw new Error("not yet");
    };
    await start({}, { ready: { late }, readyWithinMs: 20_000 });
    expect(asked).toBe(3);
    const never = () => Promise.reject(new Error("never"));
    const { server } = await start({}, { ready: { never }, readyWithinMs: 50 });
    expect((await fetch(`http://${server.httpAddress}/readyz`)).status).toBe(503);
  });
});

describe("a call that nobody waits for any more", () => {
  /** Long enough to get as far as the guard on a busy machine. */
  const DEADLINE_MS = 1000;

  it("is not handled where its deadline passed while its principal was looked up", async () => {
    const verify = vi.fn(() => ({}));
    const lookUp = Promise.withResolvers<undefined>();
    const admitted = vi.fn(() => lookUp.promise);
    const { authz, post } = await start({ verify }, { guard: () => admitted });
    const overGrpc = expect(authz.verify({}, { timeoutMs: DEADLINE_MS })).rejects.toMatchObject({
      code: "DEADLINE_EXCEEDED",
    });
    const overHttp = post("{}", {
      "connect-protocol-version": "1",
      "connect-timeout-ms": String(DEADLINE_MS),
    });
    await vi.waitFor(() => expect(admitted).toHaveBeenCalledTimes(2), patiently);
    await overGrpc;
    await new Promise((resolve) => setTimeout(resolve, DEADLINE_MS)); // what a deadline is: time that passes
    lookUp.resolve(undefined);
    expect((await overHttp).status).not.toBe(200);
    expect(verify).not.toHaveBeenCalled();
  });

  it("says so to the handler that waits", async () => {
    const seen: (boolean | undefined)[] = [];
    const verify: Handlers<typeof AuthzService, undefined>["verify"] = async (_request, call) => {
      seen.push(call.isAbandoned);
      if (!call.signal.aborted) await once(call.signal, "abort");
      seen.push(call.isAbandoned);
      return {};
    };
    const { authz } = await start({ verify });
    await expect(authz.verify({}, { timeoutMs: DEADLINE_MS })).rejects.toMatchObject({
      code: "DEADLINE_EXCEEDED",
    });
    await vi.waitFor(() => expect(seen).toEqual([false, true]), patiently);
  });
});

async function dial(address: string): Promise<Socket> {
  const [host, port] = address.split(":") as [string, string];
  const socket = connectSocket({ host, port: Number(port) });
  socket.on("error", () => {});
  closing.push(() => socket.destroy());
  await once(socket, "connect");
  return socket;
}

describe("connections", () => {
  it.each(["grpcAddress", "httpAddress"] as const)("are bounded at %s", async (which) => {
    const { server } = await start({}, { maxConnections: 2 });
    const kept = [await dial(server[which]), await dial(server[which])];
    const third = await dial(server[which]);
    if (!third.closed) await once(third.resume(), "close");
    expect(kept.map(({ closed }) => closed)).toEqual([false, false]);
    kept[0]!.destroy();
    await vi.waitFor(async () => {
      const next = await dial(server[which]);
      next.write(
        which === "httpAddress"
          ? "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n"
          : "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      );
      expect(await Promise.race([once(next, "data"), once(next, "close")])).toHaveLength(1);
      expect(next.bytesRead).toBeGreaterThan(0);
    }, patiently);
  });

  it("that send too many headers are answered 431", async () => {
    const { server } = await start({});
    const socket = await dial(server.httpAddress);
    socket.write(`GET /healthz HTTP/1.1\r\nhost: a\r\nx: ${"x".repeat(20_000)}\r\n\r\n`);
    const [bytes] = (await once(socket, "data")) as [Buffer];
    expect(bytes.toString()).toMatch(/^HTTP\/1\.1 431 /);
  });

  it("that never end sending their headers are closed", { timeout: 20_000 }, async () => {
    const { server } = await start({});
    const slow = await dial(server.httpAddress);
    slow.write("GET /healthz HTTP/1.1\r\nhost: a\r\n");
    const drip = setInterval(() => slow.write("x: y\r\n"), 500);
    closing.push(() => clearInterval(drip));
    const [bytes] = (await once(slow, "data")) as [Buffer];
    expect(bytes.toString()).toMatch(/^HTTP\/1\.1 408 /);
    if (!slow.closed) await once(slow, "close");
  });

  it("on which a reply is not read are closed, and the room of their calls is free again", async () => {
    const large = { responses: Array.from({ length: 20_000 }, () => ({ reason: "x".repeat(1000) })) };
    const { server, post } = await start({ batchVerify: () => large }, { maxCalls: 1, stalledMs: 200 });
    const stuck = await dial(server.httpAddress);
    stuck.pause();
    const head = "POST /gatehouse.authz.v1.AuthzService/BatchVerify HTTP/1.1\r\nhost: a\r\n";
    stuck.write(`${head}content-type: application/json\r\ncontent-length: 2\r\n\r\n{}`);
    await vi.waitFor(async () => expect((await post("{}")).status).toBe(429), patiently);
    await vi.waitFor(async () => expect((await post("{}")).status).toBe(200), patiently);
  });

  it("on which gRPC replies are not read take no more calls", patient, async () => {
    const verify = vi.fn(() => ({ reason: "x".repeat(2 * 1024 * 1024) }));
    const { server } = await start({ verify });
    const session = connectHttp2(`http://${server.grpcAddress}`, { settings: { initialWindowSize: 0 } });
    closing.push(() => session.destroy());
    session.on("error", () => {});
    await once(session, "connect");
    const headers = { ":method": "POST", ":path": "/gatehouse.authz.v1.AuthzService/Verify" };
    let refused = 0;
    for (let i = 0; i < 100; i++) {
      const stream = session.request({ ...headers, "content-type": "application/grpc", te: "trailers" });
      stream.on("error", () => refused++);
      stream.end(Buffer.alloc(5));
      await vi.waitFor(() => expect(verify.mock.calls.length + refused).toBeGreaterThan(i), patiently);
    }
    expect(verify.mock.calls.length).toBeLessThan(60);
    expect(refused).toBeGreaterThan(40);
  });
});
