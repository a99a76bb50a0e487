import { AuthzService } from "@gatehouse/proto/authz";
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import type { Call } from "./call.ts";
import { type GrpcClient, grpcClient } from "./client-grpc.ts";
import { route } from "./handlers.ts";
import { createLog } from "./log.ts";
import { type ServingService, serve } from "./server.ts";
import { TraceReceiver } from "./testing/trace-receiver.ts";
import { openTracing, type Tracing, traceMetrics } from "./tracing.ts";

const lines: string[] = [];
const log = createLog({
  name: "test",
  level: "info",
  destination: { write: (line) => void lines.push(line) },
});

/** What closes is closed by the tests themselves. */
const opened = { add: () => {} };

let receiver: TraceReceiver;
let tracing: Tracing;
let server: ServingService;
let client: GrpcClient<typeof AuthzService>;

const PARENT = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331" };
const sampledParent = `00-${PARENT.traceId}-${PARENT.spanId}-01`;
const unsampledParent = `00-${PARENT.traceId}-${PARENT.spanId}-00`;

// `verify` asks itself by `heartbeat`, as one service asks another; what else it does hangs on the key.
async function verify({ key }: { key: string }, { trace }: Call<string>) {
  if (key === "fault") throw new Error("SELECT secret FROM keys");
  trace?.set("gatehouse.decision_code", "VALID");
  const part = trace?.begin("read key");
  await client.heartbeat({}, { timeoutMs: 5000, trace: part });
  part?.end();
  return {};
}

const authz = route<typeof AuthzService, string>(AuthzService, {
  verify,
  explain: () => ({}),
  heartbeat: () => ({}),
  batchVerify: () => ({}),
});

async function startTracing(ratio: number, url = receiver.url): Promise<Tracing> {
  return (await openTracing({ service: "authz", endpoint: new URL(url), ratio, log, opened }))!;
}

async function start(traced: Tracing): Promise<ServingService> {
  const anyPort = { host: "127.0.0.1", port: 0 };
  const guard = () => () => "somebody";
  return serve({ grpc: anyPort, http: anyPort, routes: [authz], guard, log, tracing: traced });
}

beforeAll(async () => {
  receiver = await TraceReceiver.start();
  tracing = await startTracing(1);
  server = await start(tracing);
  client = grpcClient(AuthzService, server.grpcAddress);
});

afterAll(async () => {
  client.close();
  await server.close();
  await tracing.close();
  await receiver.stop();
});

async function received(count: number): Promise<void> {
  await vi.waitFor(() => expect(receiver.spans.length).toBeGreaterThanOrEqual(count), { timeout: 10_000 });
}

describe("a traced call", () => {
  it("is one trace over both ends of every call, with each wait between them", async () => {
    receiver.spans.length = 0;
    await client.verify({ key: "k" }, { timeoutMs: 5000 });
    await received(4);
    const root = receiver.spans.find(({ parentSpanId }) => parentSpanId === "")!;
    expect(root).toMatchObject({
      service: "authz",
      name: "gatehouse.authz.v1.AuthzService/Verify",
      kind: "server",
      attributes: {
        "rpc.system": "grpc",
        "rpc.service": "gatehouse.authz.v1.AuthzService",
        "rpc.method": "Verify",
        "rpc.grpc.status_code": 0,
        "gatehouse.decision_code": "VALID",
      },
      failure: undefined,
    });
    const below = receiver.below(root);
    expect(below.map(({ name, kind }) => [name, kind])).toEqual([
      ["read key", "internal"],
      ["gatehouse.authz.v1.AuthzService/Heartbeat", "client"],
      ["gatehouse.authz.v1.AuthzService/Heartbeat", "server"],
    ]);
    expect(new Set(below.map(({ traceId }) => traceId))).toEqual(new Set([root.traceId]));
  });

  it.each([
    ["gRPC", () => client.verify({ key: "k" }, { timeoutMs: 5000, headers: { traceparent: sampledParent } })],
    ["JSON", () => post({ key: "k" }, { traceparent: sampledParent })],
  ])("continues its caller's trace, over %s", async (_transport, call) => {
    receiver.spans.length = 0;
    await call();
    await received(4);
    expect(new Set(receiver.spans.map(({ traceId }) => traceId))).toEqual(new Set([PARENT.traceId]));
    const own = receiver.spans.filter(({ parentSpanId }) => parentSpanId === PARENT.spanId);
    expect(own.map(({ kind, name }) => [kind, name])).toEqual([
      ["server", "gatehouse.authz.v1.AuthzService/Verify"],
    ]);
  });

  it("is told of in the log by its trace where it fails by a fault, which stays out of the span", async () => {
    receiver.spans.length = 0;
    receiver.bodies.length = 0;
    await client.verify({ key: "fault" }, { timeoutMs: 5000 }).catch(() => {});
    await received(1);
    const [span] = receiver.spans;
    expect(span).toMatchObject({ failure: "INTERNAL", attributes: { "rpc.grpc.status_code": 13 } });
    const line = JSON.parse(lines.find((each) => each.includes("incident"))!);
    expect(line).toMatchObject({ trace_id: span!.traceId, span_id: span!.spanId });
    expect(Buffer.concat(receiver.bodies).toString()).not.toContain("SELECT");
  });
});

describe("what is not sampled", () => {
  it("makes no span: without a caller's word, and with its word not to", async () => {
    const none = await startTracing(0);
    const silent = await start(none);
    const own = grpcClient(AuthzService, silent.grpcAddress);
    receiver.spans.length = 0;
    await own.heartbeat({}, { timeoutMs: 5000 });
    await own.heartbeat({}, { timeoutMs: 5000, headers: { traceparent: unsampledParent } });
    // After them, so that what they had made would have come as well.
    await own.heartbeat({}, { timeoutMs: 5000, headers: { traceparent: sampledParent } });
    own.close();
    await silent.close();
    await none.close();
    expect(receiver.spans.map(({ parentSpanId }) => parentSpanId)).toEqual([PARENT.spanId]);
  });

  it("is everything where no endpoint is set", async () => {
    expect(
      await openTracing({ service: "authz", endpoint: undefined, ratio: 1, log, opened }),
    ).toBeUndefined();
    expect(
      traceMetrics(undefined)[0]!
        .read()
        .map(({ value }) => value),
    ).toEqual([0, 0, 0]);
  });
});

const method = AuthzService.method.heartbeat;

describe("OpenTelemetry's own variables", () => {
  const variables = {
    OTEL_SDK_DISABLED: "true",
    OTEL_SERVICE_NAME: "elsewhere",
    OTEL_RESOURCE_ATTRIBUTES: "service.name=elsewhere",
    OTEL_TRACES_SAMPLER: "always_off",
    OTEL_TRACES_EXPORTER: "none",
    OTEL_BSP_SCHEDULE_DELAY: "3600000",
    OTEL_BSP_MAX_QUEUE_SIZE: "1",
    OTEL_BSP_MAX_EXPORT_BATCH_SIZE: "1",
    OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT: "0",
    OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1",
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://127.0.0.1:1",
    OTEL_EXPORTER_OTLP_TIMEOUT: "1",
    OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: "1",
    OTEL_EXPORTER_OTLP_COMPRESSION: "gzip",
    OTEL_EXPORTER_OTLP_TRACES_COMPRESSION: "gzip",
    OTEL_EXPORTER_OTLP_PROTOCOL: "grpc",
  };

  it("change nothing: where spans go, how, how many, and what they say", async () => {
    for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value);
    try {
      const traced = await startTracing(1);
      receiver.spans.length = 0;
      const begin = traced.calls(method, "grpc");
      for (let i = 0; i < 1000; i++) begin(undefined)!.end();
      await traced.close();
      expect(traced.counts).toMatchObject({ exported: 1000, failed: 0, dropped: 0 });
      expect(receiver.spans).toHaveLength(1000);
      expect(receiver.spans[0]).toMatchObject({ service: "authz", attributes: { "rpc.system": "grpc" } });
    } finally {
      vi.unstubAllEnvs();
    }
  });

  it("but for headers, which would be added: hence the setting of the endpoint refuses them", async () => {
    vi.stubEnv("OTEL_EXPORTER_OTLP_HEADERS", "x-other=credential");
    try {
      const traced = await startTracing(1);
      traced.calls(method, "grpc")(undefined)!.end();
      await traced.close();
      expect(receiver.headers.at(-1)).toMatchObject({ "x-other": "credential" });
    } finally {
      vi.unstubAllEnvs();
    }
  });
});

describe("an endpoint in trouble", () => {
  it("that hangs costs the newest spans, which are counted, and no more than a bounded number waits", async () => {
    const hung = await TraceReceiver.start();
    hung.isHung = true;
    onTestFinished(() => hung.stop());
    const traced = await startTracing(1, hung.url);
    const begin = traced.calls(method, "grpc");
    for (let i = 0; i < 10_000; i++) begin(undefined)!.end();
    expect(traced.counts.dropped).toBeGreaterThan(7000);
    await traced.close();
    expect(traced.counts.exported).toBe(0);
    expect(traced.counts.dropped + traced.counts.failed).toBe(10_000);
  }, 20_000);

  it("that is away is told of once, while its spans are lost and counted", async () => {
    const warn = vi.fn();
    const endpoint = new URL("http://127.0.0.1:1/v1/traces");
    const traced = (await openTracing({ service: "authz", endpoint, ratio: 1, log: { warn }, opened }))!;
    const begin = traced.calls(method, "grpc");
    for (let i = 0; i < 1500; i++) begin(undefined)!.end();
    await traced.close();
    expect(traced.counts).toMatchObject({ exported: 0, failed: 1500 });
    expect(warn).toHaveBeenCalledTimes(1);
  }, 20_000);
});

async function post(body: object, headers: Record<string, string>): Promise<void> {
  const response = await fetch(`http://${server.httpAddress}/gatehouse.authz.v1.AuthzService/Verify`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  expect(response.status).toBe(200);
}
