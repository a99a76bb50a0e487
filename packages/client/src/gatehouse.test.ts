import { once } from "node:events";
import * as http from "node:http";
import * as http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { AccountService } from "@gatehouse/proto/identity";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "@gatehouse/proto/rpc";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Gatehouse, type GatehouseOptions, gatehouse, reasonOf } from "./index.ts";

/** Answers with the presented credential as the account's name, fails as Gatehouse does, or says nothing. */
function routes(router: ConnectRouter): void {
  router.service(AccountService, {
    getAccount: (_, { requestHeader }) => ({ account: { name: requestHeader.get("authorization") ?? "" } }),
    createAccount() {
      throw new ConnectError("two fields are wrong", Code.InvalidArgument, undefined, [
        {
          desc: ErrorInfoSchema,
          value: { reason: "INVALID_FIELD", domain: "gatehouse", metadata: { a: "b" } },
        },
        {
          desc: BadRequestSchema,
          value: { fieldViolations: [{ field: "name", description: "is required" }] },
        },
      ]);
    },
    suspendAccount() {
      throw new ConnectError("busy", Code.Aborted, undefined, [
        { desc: ErrorInfoSchema, value: { reason: "BUSY", domain: "gatehouse" } },
        { desc: RetryInfoSchema, value: { retryDelay: { seconds: 1n, nanos: 500_000_000 } } },
      ]);
    },
    resumeAccount() {
      throw new ConnectError("odd", Code.Aborted, undefined, [
        { desc: ErrorInfoSchema, value: { reason: "BUSY", domain: "elsewhere" } },
      ]);
    },
    listAccounts: () => new Promise(() => {}),
  });
}

describe.each(["grpc", "connect"] as const)("over %s", (transport) => {
  let server: http.Server | http2.Http2Server;
  const opened: Gatehouse[] = [];

  beforeAll(async () => {
    const handler = connectNodeAdapter({ routes });
    server = transport === "grpc" ? http2.createServer(handler) : http.createServer(handler);
    await once(server.listen(0, "127.0.0.1"), "listening");
  });

  afterAll(async () => {
    for (const each of opened) each.close();
    server.close();
    await once(server, "close");
  });

  function open(options: Partial<GatehouseOptions> = {}): Gatehouse {
    const identity = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const client = gatehouse({ key: "gth_key", transport, identity, ...options });
    opened.push(client);
    return client;
  }

  it("presents the key, and asks for it each time where it is a function", async () => {
    const keys = ["one", "two"];
    const { accounts } = open({ key: () => keys.shift()! });
    expect((await accounts.getAccount({})).account!.name).toBe("Bearer one");
    expect((await accounts.getAccount({})).account!.name).toBe("Bearer two");
  });

  it("reads the reason, the fields and the facts of a refusal", async () => {
    const failure = reasonOf(
      await open()
        .accounts.createAccount({})
        .catch((error) => error),
    );
    expect(failure).toEqual({
      code: Code.InvalidArgument,
      reason: "INVALID_FIELD",
      message: "two fields are wrong",
      metadata: { a: "b" },
      violations: [{ field: "name", description: "is required" }],
      retryAfterMs: undefined,
      isTemporary: false,
    });
  });

  it("says when to try again", async () => {
    const failure = reasonOf(
      await open()
        .accounts.suspendAccount({})
        .catch((error) => error),
    );
    expect(failure).toMatchObject({ reason: "BUSY", retryAfterMs: 1500, isTemporary: true });
  });

  it("takes no reason from another domain", async () => {
    const failure = reasonOf(
      await open()
        .accounts.resumeAccount({})
        .catch((error) => error),
    );
    expect(failure).toMatchObject({ code: Code.Aborted, reason: undefined, isTemporary: false });
  });

  it("gives up at the deadline, and a call may have its own", async () => {
    const impatient = open({ timeoutMs: 50 });
    const late = await impatient.accounts.listAccounts({}).catch((error) => error);
    expect(reasonOf(late)).toMatchObject({ code: Code.DeadlineExceeded, isTemporary: true });
    const later = await open()
      .accounts.listAccounts({}, { timeoutMs: 50 })
      .catch((error) => error);
    expect(reasonOf(later).code).toBe(Code.DeadlineExceeded);
  });
});

it("a service that nobody runs is a temporary failure without a reason", async () => {
  const { accounts, close } = gatehouse({ key: "gth_key", identity: "http://127.0.0.1:1" });
  const failure = reasonOf(await accounts.getAccount({}).catch((error) => error));
  expect(failure).toMatchObject({ code: Code.Unavailable, reason: undefined, isTemporary: true });
  close();
});
