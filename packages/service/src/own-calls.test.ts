import { create } from "@bufbuild/protobuf";
import { AuthzService, DecisionCode, VerifyRequestSchema } from "@gatehouse/proto/authz";
import { afterEach, expect, test } from "vitest";
import { unauthenticated } from "./failure.ts";
import type { Guard } from "./handlers.ts";
import { route } from "./handlers.ts";
import { createLog } from "./log.ts";
import { type ServingService, serve } from "./server.ts";

/** A plain endpoint that calls an RPC of its own service: `/ask?<key>`. */

const guard: Guard<string> = () => (call) => {
  const who = call.header("authorization");
  if (who === undefined) throw unauthenticated("CREDENTIAL_MISSING");
  return `${who} at ${call.peerAddress}`;
};

const waiting: (() => void)[] = [];
const authz = route<typeof AuthzService, string>(AuthzService, {
  verify({ key }, { principal }) {
    if (key === "fault") throw new Error("the disk is on fire");
    const reply = { code: DecisionCode.VALID, reason: `${principal} asks for ${key}` };
    return key === "wait" ? new Promise((resolve) => waiting.push(() => resolve(reply))) : reply;
  },
  explain: () => ({}),
  heartbeat: () => ({}),
  batchVerify: () => ({}),
});

let server: ServingService;
afterEach(() => server?.close());

async function start(maxCalls?: number): Promise<void> {
  server = await serve({
    grpc: { host: "127.0.0.1", port: 0 },
    http: { host: "127.0.0.1", port: 0 },
    routes: [authz],
    guard,
    log: createLog({ name: "test", level: "silent" }),
    maxCalls,
    extra(request, response, callOwn) {
      const [path, key] = request.url!.split("?");
      if (path !== "/ask") return false;
      const header = (name: string) =>
        name === "authorization" ? request.headers["x-me"]?.toString() : undefined;
      const message = create(VerifyRequestSchema, { key: key! });
      callOwn(AuthzService.method.verify, message, { request, response, header }, (failure, reply) => {
        response.end(failure === undefined ? reply!.reason : `${failure.code} ${failure.message}`);
      });
      return true;
    },
  });
}

async function ask(key: string, headers: Record<string, string> = { "x-me": "me" }): Promise<string> {
  return (await fetch(`http://${server.httpAddress}/ask?${key}`, { headers })).text();
}

test("an endpoint's own call passes the guard, with the headers that the endpoint shows it", async () => {
  await start();
  expect(await ask("one")).toBe("me at 127.0.0.1 asks for one");
  expect(await ask("one", { authorization: "somebody else" })).toMatch(/^UNAUTHENTICATED /);
});

test("a fault in it is an incident that says nothing", async () => {
  await start();
  expect(await ask("fault")).toBe("INTERNAL internal error");
});

test("it takes room, and is refused where there is none", async () => {
  await start(1);
  const first = ask("wait");
  await expect.poll(() => waiting.length).toBe(1);
  expect(await ask("one")).toMatch(/^RESOURCE_EXHAUSTED /);
  waiting.splice(0)[0]!();
  expect(await first).toContain("asks for wait");
  expect(await ask("one")).toContain("asks for one");
});

test("it is counted with the RPC's other calls", async () => {
  await start();
  await ask("one");
  await ask("one", {});
  const metrics = await (await fetch(`http://${server.httpAddress}/metrics`)).text();
  const count = (code: string) =>
    new RegExp(`requests_total\\{method="[^"]*/Verify",code="${code}"[^}]*\\} (\\d+)`).exec(metrics)?.[1];
  expect([count("OK"), count("UNAUTHENTICATED")]).toEqual(["1", "1"]);
});
