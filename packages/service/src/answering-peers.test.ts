import { create, toBinary } from "@bufbuild/protobuf";
import { AuthzService, HeartbeatResponseSchema } from "@gatehouse/proto/authz";
import { Server, ServerCredentials, type sendUnaryData } from "@grpc/grpc-js";
import { expect, onTestFinished, test, vi } from "vitest";
import { grpcClient } from "./client-grpc.ts";

const PATH = "/gatehouse.authz.v1.AuthzService/Heartbeat";
const reply = Buffer.from(toBinary(HeartbeatResponseSchema, create(HeartbeatResponseSchema)));
const TIMEOUT_MS = 100;

/** A server that answers, unless it stands still, and counts what it is asked. */
async function listen() {
  const peer = { address: "", asked: 0, isStill: false };
  const bytes = (value: Buffer) => value;
  const method = {
    path: PATH,
    requestStream: false,
    responseStream: false,
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  } as const;
  const server = new Server();
  server.addService(
    { heartbeat: method },
    {
      heartbeat: (_call: unknown, answer: sendUnaryData<Buffer>) => {
        peer.asked++;
        if (!peer.isStill) answer(null, reply);
      },
    },
  );
  onTestFinished(() => server.forceShutdown());
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  peer.address = `127.0.0.1:${port}`;
  return peer;
}

type Peer = Awaited<ReturnType<typeof listen>>;

function callerOf(peers: readonly Peer[]) {
  const client = grpcClient(AuthzService, peers.map(({ address }) => address).join(","));
  onTestFinished(() => client.close());
  return {
    /** Calls one after another; answers how many were answered. */
    async answered(calls: number): Promise<number> {
      let answered = 0;
      for (let i = 0; i < calls; i++) {
        answered += await client.heartbeat({}, { timeoutMs: TIMEOUT_MS }).then(
          () => 1,
          ({ code }) => {
            expect(code).toBe("DEADLINE_EXCEEDED");
            return 0;
          },
        );
      }
      return answered;
    },
    /** Waits until each has been asked. */
    async reachesAll(): Promise<void> {
      const isReached = async () => {
        await client.heartbeat({}, { timeoutMs: 5000 }).catch(() => {});
        return peers.every(({ asked }) => asked > 0);
      };
      await expect.poll(isReached, { timeout: 5000 }).toBe(true);
    },
  };
}

/** Moves the clock that silence is measured by. */
function clock() {
  let offsetMs = 0;
  const { now } = performance;
  const spied = vi.spyOn(performance, "now").mockImplementation(() => now.call(performance) + offsetMs);
  onTestFinished(() => spied.mockRestore());
  return {
    advance(ms: number) {
      offsetMs += ms;
    },
  };
}

test("a peer that stands still is passed over, tried now and then, and asked again once it answers", async () => {
  const [well, still] = [await listen(), await listen()];
  const time = clock();
  const caller = callerOf([well, still]);
  await caller.reachesAll();
  still.isStill = true;
  expect(await caller.answered(4)).toBe(2);
  time.advance(500);
  const askedBefore = still.asked;
  expect(await caller.answered(20)).toBe(20);
  expect(still.asked).toBe(askedBefore);

  time.advance(5000);
  expect(await caller.answered(20)).toBe(19);
  expect(still.asked).toBe(askedBefore + 1);

  still.isStill = false;
  time.advance(5000);
  expect(await caller.answered(20)).toBe(20);
  expect(still.asked).toBeGreaterThan(askedBefore + 5);
});

test("where all are silent, calls go on", async () => {
  const peers = [await listen(), await listen()];
  const time = clock();
  const caller = callerOf(peers);
  await caller.reachesAll();
  for (const peer of peers) peer.isStill = true;
  expect(await caller.answered(2)).toBe(0);
  time.advance(500);
  for (const peer of peers) peer.isStill = false;
  expect(await caller.answered(10)).toBe(10);
  // The one that answered first has them all until the other is tried.
  time.advance(5000);
  expect(await caller.answered(10)).toBe(10);
  for (const { asked } of peers) expect(asked).toBeGreaterThan(5);
});

test("a peer alone is asked whether it answers or not", async () => {
  const peer = await listen();
  const time = clock();
  const caller = callerOf([peer]);
  await caller.reachesAll();
  peer.isStill = true;
  expect(await caller.answered(1)).toBe(0);
  time.advance(500);
  peer.isStill = false;
  expect(await caller.answered(3)).toBe(3);
});
