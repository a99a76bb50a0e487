import { gzipSync } from "node:zlib";
import { compressionGzip } from "@connectrpc/connect-node";
import { AuthzService } from "@gatehouse/proto/authz";
import { afterEach, expect, test, vi } from "vitest";
import { type Handlers, route } from "./handlers.ts";
import { LARGE_REQUESTS_BYTES_MAX, REQUEST_BYTES_MAX } from "./limits.ts";
import { createLog } from "./log.ts";
import { serve } from "./server.ts";

/** How many compressed calls have room at once before it is known what they hold. */
const ROOM = LARGE_REQUESTS_BYTES_MAX / REQUEST_BYTES_MAX;
const anywhere = { host: "127.0.0.1", port: 0 };
const patiently = { timeout: 15_000, interval: 20 };

afterEach(() => vi.restoreAllMocks());

test("a compressed call that hangs up before it is known what it holds gives its room back once", {
  timeout: 40_000,
}, async () => {
  const unpacking = heldUnpacking();
  const admitted = vi.fn(() => undefined);
  await using server = await start(admitted);

  /** Whether a call has room: whether it gets as far as being unpacked. */
  async function hasRoom(signal?: AbortSignal): Promise<boolean> {
    const begun = unpacking.next();
    const answer = fetch(server.url, { method: "POST", headers, body, signal: signal ?? null });
    answers.push(answer.catch(() => {}));
    return Promise.race([begun.then(() => true), answer.then(({ status }) => status !== 429)]);
  }
  const answers: Promise<unknown>[] = [];
  const hangUp = new AbortController();

  for (let i = 0; i < ROOM; i++) expect(await hasRoom(hangUp.signal)).toBe(true);
  expect(await hasRoom()).toBe(false);
  const letFirstGo = unpacking.hold();
  hangUp.abort();
  for (let i = 0; i < ROOM; i++) await vi.waitFor(async () => expect(await hasRoom()).toBe(true), patiently);
  // What those held who hung up is found out when they have long gone.
  letFirstGo();
  await vi.waitFor(() => expect(admitted).toHaveBeenCalledTimes(ROOM), patiently);
  const wasRoom = await hasRoom();
  unpacking.hold()();
  await Promise.all(answers);
  expect(wasRoom).toBe(false);
});

const headers = { "content-type": "application/json", "content-encoding": "gzip" };
const body = gzipSync('{"key": "small"}');

/** Unpacking that waits: `hold` begins a new batch and returns what lets the one before go. */
function heldUnpacking() {
  const unpack = compressionGzip.decompress.bind(compressionGzip);
  let gate = Promise.withResolvers<void>();
  let begun = Promise.withResolvers<void>();
  vi.spyOn(compressionGzip, "decompress").mockImplementation(async (bytes, maxBytes) => {
    begun.resolve();
    await gate.promise;
    return unpack(bytes, maxBytes);
  });
  return {
    next(): Promise<void> {
      begun = Promise.withResolvers();
      return begun.promise;
    },
    hold(): () => void {
      const { resolve } = gate;
      gate = Promise.withResolvers();
      return resolve;
    },
  };
}

async function start(admitted: () => undefined) {
  const none = () => ({});
  const handlers: Handlers<typeof AuthzService, undefined> = {
    verify: none,
    batchVerify: none,
    explain: none,
    heartbeat: none,
  };
  const server = await serve({
    grpc: anywhere,
    http: anywhere,
    routes: [route<typeof AuthzService, undefined>(AuthzService, handlers)],
    guard: () => admitted,
    log: createLog({ name: "test", level: "silent" }),
  });
  server.setServing(true);
  const url = `http://${server.httpAddress}/gatehouse.authz.v1.AuthzService/Verify`;
  return { url, [Symbol.asyncDispose]: () => server.close() };
}
