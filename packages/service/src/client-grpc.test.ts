import { createServer } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { AuthzService, HeartbeatResponseSchema } from "@gatehouse/proto/authz";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { expect, it, onTestFinished } from "vitest";
import { grpcClient } from "./client-grpc.ts";

const PATH = "/gatehouse.authz.v1.AuthzService/Heartbeat";
const reply = Buffer.from(toBinary(HeartbeatResponseSchema, create(HeartbeatResponseSchema)));

it("waits for a connection that is being made where it is told to, and else fails at once", async () => {
  const port = await freePort();
  const client = grpcClient(AuthzService, `127.0.0.1:${port}`);
  onTestFinished(() => client.close());
  const beat = (waitsForConnection: boolean) => client.heartbeat({}, { timeoutMs: 5000, waitsForConnection });
  await expect(beat(false)).rejects.toMatchObject({ code: "UNAVAILABLE" });
  const waiting = beat(true);
  // Between two dials: the channel has found nobody, and pauses before it looks again.
  await expect(beat(false)).rejects.toMatchObject({ code: "UNAVAILABLE" });
  await listen(port);
  expect(await waiting).toMatchObject({ $typeName: "gatehouse.authz.v1.HeartbeatResponse" });
});

it("waits no longer than it is told to", async () => {
  const client = grpcClient(AuthzService, `127.0.0.1:${await freePort()}`);
  onTestFinished(() => client.close());
  const beat = client.heartbeat({}, { timeoutMs: 100, waitsForConnection: true });
  await expect(beat).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return address.port;
}

async function listen(port: number): Promise<void> {
  const server = new Server();
  const bytes = (value: Buffer) => value;
  const method = { path: PATH, requestStream: false, responseStream: false } as const;
  const wire = {
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  };
  server.addService(
    { heartbeat: { ...method, ...wire } },
    { heartbeat: (_call: unknown, callback: (error: null, value: Buffer) => void) => callback(null, reply) },
  );
  onTestFinished(() => server.forceShutdown());
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    ),
  );
}
