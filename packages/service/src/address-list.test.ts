import { createServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { AuthzService, HeartbeatResponseSchema } from "@gatehouse/proto/authz";
import { expect, it, onTestFinished } from "vitest";
import { grpcClient } from "./client-grpc.ts";

const beat = Buffer.from(toBinary(HeartbeatResponseSchema, create(HeartbeatResponseSchema)));
const reply = Buffer.concat([Buffer.from([0, 0, 0, 0, beat.length]), beat]);
/** A name that no resolver takes: it is refused without asking a server. */
const nowhere = `${"n".repeat(64)}.invalid:7103`;
const patient = { timeoutMs: 5000, waitsForConnection: true };

it("calls every address of a list in turn", async () => {
  const [first, second] = [await listen(), await listen()];
  const client = clientOf(`${first.address}, localhost:${second.port}`);
  await expect.poll(() => askOnce(client, [first, second]), { timeout: 5000 }).toEqual([true, true]);
});

it("goes on with the others when one is gone, and finds it when it is back", async () => {
  const [first, second] = [await listen(), await listen()];
  const client = clientOf(`${first.address},${second.address}`);
  await expect.poll(() => askOnce(client, [first, second]), { timeout: 5000 }).toEqual([true, true]);
  second.stop();
  await expect.poll(() => askOnce(client, [first, second]), { timeout: 5000 }).toEqual([true, false]);
  for (let call = 0; call < 10; call++) await client.heartbeat({}, { timeoutMs: 5000 });
  const back = await listen(second.port);
  await expect.poll(() => askOnce(client, [first, back]), { timeout: 5000 }).toEqual([true, true]);
});

it("is not held up by a name that nobody knows, and says so where none is known", async () => {
  const known = await listen();
  const client = clientOf(`${nowhere},${known.address}`);
  expect(await client.heartbeat({}, patient)).toBeDefined();
  const lost = clientOf(`${nowhere},n${nowhere}`);
  await expect(lost.heartbeat({}, { timeoutMs: 5000 })).rejects.toMatchObject({ code: "UNAVAILABLE" });
});

function clientOf(address: string) {
  const client = grpcClient(AuthzService, address);
  onTestFinished(() => client.close());
  return client;
}

/** Which of them two calls came to. */
async function askOnce(client: ReturnType<typeof clientOf>, servers: readonly Listening[]) {
  const before = servers.map(({ calls }) => calls);
  for (const _ of servers) await client.heartbeat({}, patient).catch(() => {});
  return servers.map(({ calls }, i) => calls > before[i]!);
}

interface Listening {
  readonly port: number;
  readonly address: string;
  readonly calls: number;
  stop(): void;
}

async function listen(port = 0): Promise<Listening> {
  const server = createServer();
  const sessions = new Set<{ destroy(): void }>();
  let calls = 0;
  server.on("session", (session) => sessions.add(session));
  server.on("stream", (stream: ServerHttp2Stream) => {
    calls++;
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(reply);
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const listening = (server.address() as AddressInfo).port;
  const stop = () => {
    server.close();
    for (const session of sessions) session.destroy();
  };
  onTestFinished(stop);
  return {
    port: listening,
    address: `127.0.0.1:${listening}`,
    get calls() {
      return calls;
    },
    stop,
  };
}
