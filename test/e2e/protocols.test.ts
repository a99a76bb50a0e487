import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { WhoAmIRequestSchema, WhoAmIResponseSchema } from "@gatehouse/proto/identity";
import { Client, credentials } from "@grpc/grpc-js";
import { describe, expect, test } from "vitest";
import type { ServiceProcess } from "../system/service-process.ts";
import { useSystem } from "../system/use-system.ts";

const system = useSystem({ replicas: [{}] });
const WHO_AM_I = "/gatehouse.identity.v1.KeyService/WhoAmI";
const request = Buffer.from(toBinary(WhoAmIRequestSchema, create(WhoAmIRequestSchema)));

const processes: readonly [string, () => ServiceProcess, string][] = [
  ["identity", () => system().identity, "gatehouse.identity.v1.KeyService"],
  ["metering", () => system().metering, "gatehouse.metering.v1.LimitService"],
  ["authz", () => system().replicas[0]!.process, "gatehouse.authz.v1.AuthzService"],
  ["authz to Envoy", () => system().replicas[0]!.process, "envoy.service.auth.v3.Authorization"],
];

async function post(contentType: string, body: Buffer): Promise<{ response: Response; bytes: Buffer }> {
  const response = await fetch(`http://${system().identity.httpAddress}${WHO_AM_I}`, {
    method: "POST",
    headers: { "content-type": contentType, authorization: `Bearer ${system().root.secret}` },
    body: new Uint8Array(body),
  });
  return { response, bytes: Buffer.from(await response.arrayBuffer()) };
}

function frame(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

test("Connect answers binary messages", async () => {
  const { response, bytes } = await post("application/proto", request);
  expect(response.status).toBe(200);
  expect(response.headers.get("cache-control")).toBe("no-store");
  expect(fromBinary(WhoAmIResponseSchema, bytes)).toMatchObject({
    accountSlug: "provider",
    organizationId: "",
  });
});

test("gRPC-Web answers a framed message and its trailers", async () => {
  const { response, bytes } = await post("application/grpc-web+proto", frame(request));
  expect(response.status).toBe(200);
  const length = bytes.readUInt32BE(1);
  expect(fromBinary(WhoAmIResponseSchema, bytes.subarray(5, 5 + length)).accountSlug).toBe("provider");
  const trailers = bytes.subarray(5 + length);
  expect(trailers[0]).toBe(0x80);
  expect(trailers.subarray(5).toString().toLowerCase()).toContain("grpc-status: 0");
});

describe.each(processes)("%s", (_name, process, service) => {
  const raw = (bytes: Buffer) => bytes;
  const client = () => new Client(process().grpcAddress, credentials.createInsecure());

  test("says by gRPC health that it serves", async () => {
    const health = client();
    try {
      const answer = await new Promise<Buffer | undefined>((resolve, reject) => {
        const deadline = { deadline: Date.now() + 20_000 };
        const name = Buffer.concat([Buffer.from([0x0a, service.length]), Buffer.from(service)]);
        health.makeUnaryRequest("/grpc.health.v1.Health/Check", raw, raw, name, deadline, (error, value) =>
          error ? reject(error) : resolve(value),
        );
      });
      // Field 1, SERVING.
      expect(answer).toEqual(Buffer.from([0x08, 1]));
    } finally {
      health.close();
    }
  });

  test("lists its services by gRPC reflection", async () => {
    const reflection = client();
    try {
      const path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
      const stream = reflection.makeBidiStreamRequest(path, raw, raw, { deadline: Date.now() + 20_000 });
      const answer = new Promise<Buffer>((resolve, reject) => {
        stream.once("data", resolve).once("error", reject);
      });
      // Field 7, list_services, empty.
      stream.write(Buffer.from([0x3a, 0]));
      const listed = (await answer).toString("latin1");
      stream.on("error", () => {}).cancel();
      expect(listed).toContain(service);
      expect(listed).toContain("grpc.health.v1.Health");
    } finally {
      reflection.close();
    }
  });

  test("answers /healthz, /readyz and /metrics", async () => {
    const get = (path: string) => fetch(`http://${process().httpAddress}${path}`);
    expect((await get("/healthz")).status).toBe(200);
    const ready = await get("/readyz");
    expect(ready.status).toBe(200);
    expect(await ready.json()).toMatchObject({ ready: true, checks: { serving: true } });
    const metrics = await get("/metrics");
    expect(metrics.headers.get("content-type")).toContain("text/plain");
    expect(await metrics.text()).toContain(`rpc_duration_seconds_count{method="${service}/`);
  });
});
