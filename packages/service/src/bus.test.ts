import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { BUS_PAYLOAD_BYTES_MAX, type Bus } from "./bus.ts";
import { localBus } from "./bus-local.ts";
import { natsBus } from "./bus-nats.ts";
import { createLog } from "./log.ts";

const log = createLog({ name: "test", level: "silent" });
const bytes = (text: string) => new TextEncoder().encode(text);
const text = (payload: Uint8Array) => new TextDecoder().decode(payload);

let port: number;
let natsServer: ChildProcess | undefined;

async function startNats(): Promise<void> {
  const server = spawn("nats-server", ["-a", "127.0.0.1", "-p", String(port)], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  natsServer = server;
  let output = "";
  server.stderr.on("data", (chunk) => {
    output += chunk;
  });
  await vi.waitFor(() => expect(output).toContain("Server is ready"), { timeout: 10_000, interval: 10 });
}

async function stopNats(): Promise<void> {
  const exited = once(natsServer!, "exit");
  natsServer!.kill("SIGKILL");
  await exited;
  natsServer = undefined;
}

beforeAll(async () => {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  port = (probe.address() as { port: number }).port;
  await new Promise((resolve) => probe.close(resolve));
});

afterAll(async () => {
  if (natsServer) await stopNats();
});

const open: Bus[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((bus) => bus.close()));
});

function nats(): Bus {
  const bus = natsBus({ urls: [`nats://127.0.0.1:${port}`], name: "test", log });
  open.push(bus);
  return bus;
}

function local(): Bus {
  const bus = localBus({ log });
  open.push(bus);
  return bus;
}

/** A message sent through to a subscription proves that all sent before it have arrived. */
async function settled(bus: Bus, from: Bus = bus): Promise<void> {
  let arrived = false;
  const subscription = bus.subscribe("settled", () => {
    arrived = true;
  });
  await vi.waitFor(
    () => {
      from.publish("settled", bytes(""));
      expect(arrived).toBe(true);
    },
    { timeout: 10_000, interval: 10 },
  );
  subscription.unsubscribe();
}

describe.each([
  ["local", local],
  ["nats", nats],
])("the %s bus", (kind, make) => {
  beforeAll(async () => {
    if (kind === "nats") await startNats();
  });

  it("delivers in order, never inside publish, to every matching subscription", async () => {
    const bus = make();
    const seen: string[] = [];
    bus.subscribe("a.b", (payload, subject) => seen.push(`exact ${subject} ${text(payload)}`));
    bus.subscribe("a.*", (payload) => seen.push(`star ${text(payload)}`));
    bus.subscribe("a.>", (payload) => seen.push(`rest ${text(payload)}`));
    await settled(bus);
    bus.publish("a.b", bytes("1"));
    bus.publish("a.b.c", bytes("2"));
    bus.publish("a", bytes("3"));
    bus.publish("a.b", bytes("4"));
    expect(seen).toEqual([]);
    await settled(bus);
    const of = (name: string) => seen.filter((line) => line.startsWith(name));
    expect(of("exact")).toEqual(["exact a.b 1", "exact a.b 4"]);
    expect(of("star")).toEqual(["star 1", "star 4"]);
    expect(of("rest")).toEqual(["rest 1", "rest 2", "rest 4"]);
  });

  it("goes on after a handler that throws, and stops at unsubscribe", async () => {
    const bus = make();
    const seen: string[] = [];
    const subscription = bus.subscribe("a", (payload) => {
      seen.push(text(payload));
      throw new Error("a bad handler");
    });
    await settled(bus);
    bus.publish("a", bytes("1"));
    bus.publish("a", bytes("2"));
    await settled(bus);
    subscription.unsubscribe();
    bus.publish("a", bytes("3"));
    await settled(bus);
    expect(seen).toEqual(["1", "2"]);
  });

  it("refuses bad subjects, patterns and large payloads, and takes the largest", async () => {
    const bus = make();
    for (const subject of ["", "a..b", "a.*", "a b", ">"]) {
      expect(() => bus.publish(subject, bytes(""))).toThrow(RangeError);
    }
    for (const pattern of ["", "a.>.b", "a>", "a..b"]) {
      expect(() => bus.subscribe(pattern, () => {})).toThrow(RangeError);
    }
    expect(() => bus.publish("a", new Uint8Array(BUS_PAYLOAD_BYTES_MAX + 1))).toThrow(RangeError);
    let length = 0;
    bus.subscribe("a", (payload) => {
      length = payload.byteLength;
    });
    await settled(bus);
    bus.publish("a", new Uint8Array(BUS_PAYLOAD_BYTES_MAX));
    await settled(bus);
    expect(length).toBe(BUS_PAYLOAD_BYTES_MAX);
  });

  it("is silent after close", async () => {
    const bus = make();
    let calls = 0;
    bus.subscribe("a", () => calls++);
    await settled(bus);
    await bus.close();
    const callsAtClose = calls;
    bus.publish("a", bytes("1"));
    expect(() => bus.subscribe("a", () => {})).toThrow("closed");
    expect(bus.connected).toBe(false);
    await new Promise(setImmediate);
    expect(calls).toBe(callsAtClose);
    await bus.close();
  });
});

describe("the nats bus", () => {
  it("sends what was published just before close", async () => {
    const [from, to] = [nats(), nats()];
    let count = 0;
    to.subscribe("a", () => count++);
    await settled(to, from);
    for (let index = 0; index < 50; index++) from.publish("a", bytes("x"));
    await from.close();
    await vi.waitFor(() => expect(count).toBe(50), { timeout: 5000, interval: 5 });
  });

  it("works without a server, finds it when it comes, and again when it comes back", async () => {
    await stopNats();
    const bus = nats();
    const seen: string[] = [];
    bus.subscribe("a", (payload) => seen.push(text(payload)));
    bus.publish("a", bytes("lost"));
    expect(bus.connected).toBe(false);
    await startNats();
    await settled(bus);
    bus.publish("a", bytes("first"));
    await settled(bus);
    await stopNats();
    await vi.waitFor(() => expect(bus.connected).toBe(false), { timeout: 5000, interval: 5 });
    bus.publish("a", bytes("lost too"));
    await startNats();
    await settled(bus);
    bus.publish("a", bytes("second"));
    await settled(bus);
    expect(seen).toEqual(["first", "second"]);
  });

  it("closes soon when there is no server", async () => {
    const connected = nats();
    await settled(connected);
    await stopNats();
    const never = nats();
    const startedMs = performance.now();
    await Promise.all([connected.close(), never.close()]);
    expect(performance.now() - startedMs).toBeLessThan(5000);
  });
});
