import { once } from "node:events";
import { Agent, request } from "node:http";
import { connect } from "node:http2";
import { AuthzService } from "@gatehouse/proto/authz";
import { FeedService } from "@gatehouse/proto/identity";
import { describe, expect, it, vi } from "vitest";
import { grpcClient } from "./client-grpc.ts";
import { type Guard, type Handlers, route } from "./handlers.ts";
import { createLog, type Log } from "./log.ts";
import { type ServingService, serve } from "./server.ts";
import { Disposables, untilSignal } from "./shutdown.ts";

const patiently = { timeout: 15_000, interval: 20 };

const log = createLog({ name: "test", level: "silent" });
const open: Guard<undefined> = () => () => undefined;

function start(
  verify: Handlers<typeof AuthzService, undefined>["verify"],
  graceMs: number,
  drainDelayMs = 0,
): Promise<ServingService> {
  const authz = route<typeof AuthzService, undefined>(AuthzService, {
    verify,
    batchVerify: () => ({}),
    explain: () => ({}),
    heartbeat: () => ({}),
  });
  const feed = route<typeof FeedService, undefined>(FeedService, {
    getHead: () => ({}),
    listChanges: () => ({}),
    resolveKeys: () => ({}),
    resolveAccounts: () => ({}),
    resolveMeters: () => ({}),
    resolveHashes: () => ({}),
    resolveCatalog: () => ({}),
    recordActivity: () => ({}),
    claimNonce: () => ({}),
    async *snapshot(_request, call) {
      yield {};
      if (!call.draining.aborted) await once(call.draining, "abort");
    },
  });
  const anywhere = { host: "127.0.0.1", port: 0 };
  return serve({
    grpc: anywhere,
    http: anywhere,
    routes: [authz, feed],
    guard: open,
    log,
    graceMs,
    drainDelayMs,
  });
}

async function elapsedMs(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

describe("closing a server", () => {
  it("does not wait for idle connections or streams that heed draining", async () => {
    const server = await start(() => ({}), 20_000);
    const session = connect(`http://${server.grpcAddress}`);
    session.on("error", () => {});
    await once(session, "connect");
    const agent = new Agent({ keepAlive: true });
    const idle = request(`http://${server.httpAddress}/healthz`, { agent }).end();
    const [response] = await once(idle, "response");
    response.resume();
    await once(response, "end");
    const feed = grpcClient(FeedService, server.grpcAddress);
    const stream = feed.snapshot({})[Symbol.asyncIterator]();
    await stream.next();
    expect(await elapsedMs(() => server.close())).toBeLessThan(2000);
    expect(await stream.next()).toMatchObject({ done: true });
    feed.close();
    agent.destroy();
    session.destroy();
  });

  it("says so first, and takes calls for the drain delay, so that who spreads them hears of it", async () => {
    const server = await start(() => ({ keyId: "taken" }), 20_000, 1500);
    server.setServing(true);
    const client = grpcClient(AuthzService, server.grpcAddress);
    await client.verify({}, { timeoutMs: 5000 });
    const closed = server.close();
    expect((await fetch(`http://${server.httpAddress}/readyz`)).status).toBe(503);
    expect(await client.verify({}, { timeoutMs: 5000 })).toMatchObject({ keyId: "taken" });
    const overHttp = await fetch(`http://${server.httpAddress}/gatehouse.authz.v1.AuthzService/Verify`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: "{}",
    });
    expect([overHttp.status, overHttp.headers.get("connection")]).toEqual([200, "close"]);
    await closed;
    await expect(client.verify({}, { timeoutMs: 5000 })).rejects.toMatchObject({ code: "UNAVAILABLE" });
    client.close();
  });

  it("lets calls in flight finish on both transports", async () => {
    const { promise, resolve } = Promise.withResolvers<{ keyId: string }>();
    const verify = vi.fn(() => promise);
    const server = await start(verify, 20_000);
    const client = grpcClient(AuthzService, server.grpcAddress);
    const grpcReply = client.verify({}, { timeoutMs: 5000 });
    const httpReply = fetch(`http://${server.httpAddress}/gatehouse.authz.v1.AuthzService/Verify`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: "{}",
    });
    await vi.waitFor(() => expect(verify).toHaveBeenCalledTimes(2), patiently);
    const closed = server.close();
    resolve({ keyId: "done" });
    expect((await grpcReply).keyId).toBe("done");
    expect(await (await httpReply).json()).toMatchObject({ keyId: "done" });
    expect(await elapsedMs(() => closed)).toBeLessThan(2000);
    client.close();
  });

  it("cuts calls that outlast the grace", async () => {
    const verify = vi.fn(() => new Promise<object>(() => {}));
    const server = await start(verify, 50);
    const client = grpcClient(AuthzService, server.grpcAddress);
    const cut = expect(client.verify({}, { timeoutMs: 20_000 })).rejects.toMatchObject({
      code: expect.any(String),
    });
    await vi.waitFor(() => expect(verify).toHaveBeenCalled(), patiently);
    expect(await elapsedMs(() => server.close())).toBeLessThan(1000);
    expect(await elapsedMs(() => cut)).toBeLessThan(1000);
    client.close();
  });
});

describe("disposables", () => {
  it("close in reverse order, past one that throws and one that hangs", async () => {
    const closed: string[] = [];
    const warn = vi.fn();
    const disposables = new Disposables({ warn } as unknown as Log);
    disposables.add("first", () => closed.push("first"));
    disposables.add("throws", () => {
      throw new Error("no luck");
    });
    disposables.add("hangs", () => new Promise(() => {}), 10);
    disposables.add("last", async () => closed.push("last"));
    await Promise.all([disposables.close(), disposables.close()]);
    expect(closed).toEqual(["last", "first"]);
    expect(warn).toHaveBeenCalledTimes(2);
  });
});

it("waiting for a signal leaves the second one to the system", async () => {
  const before = process.listenerCount("SIGTERM");
  const signal = untilSignal();
  process.emit("SIGTERM", "SIGTERM");
  expect(await signal).toBe("SIGTERM");
  expect(process.listenerCount("SIGTERM")).toBe(before);
});
