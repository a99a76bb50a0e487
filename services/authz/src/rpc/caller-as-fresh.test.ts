import { create } from "@bufbuild/protobuf";
import { encodeFreshness, type Freshness } from "@gatehouse/changefeed";
import {
  AuthzService,
  BatchVerifyRequestSchema,
  HeartbeatRequestSchema,
  VerifyRequestSchema,
} from "@gatehouse/proto/authz";
import type { Call, Handlers } from "@gatehouse/service";
import { unauthenticated } from "@gatehouse/service/failure";
import { expect, it } from "vitest";
import { callerAsFresh } from "./caller-as-fresh.ts";

const incarnation = "0b7ac3a5-5f3e-4d8f-9d0c-111111111111";
const token = (source: "identity" | "metering", revision: number) =>
  encodeFreshness(source, { incarnation, revision });

/** A verifier that was revoked at revision 7, on a replica that has come as far as 6. */
function setUp() {
  const seen = { revision: 6, admitted: [] as unknown[], caughtUp: [] as Freshness[] };
  const answer = (_request: unknown, { principal }: Call<string>) => {
    seen.admitted.push(principal);
    return {};
  };
  const handlers: Handlers<typeof AuthzService, string> = {
    // A decision that was charged leaves with the others of its turn.
    verify: (request, call) => ({ whenReady: (callback) => callback(undefined, answer(request, call)) }),
    batchVerify: answer,
    heartbeat: answer,
    explain: answer,
  };
  const guard = () => () => {
    if (seen.revision >= 7) throw unauthenticated("CREDENTIAL_INVALID");
    return "admitted again";
  };
  const catchUp = async (asked: Freshness) => {
    seen.caughtUp.push(asked);
    if (asked.revision > 9) throw new Error("ahead of the head");
    seen.revision = Math.max(seen.revision, asked.revision);
    return true;
  };
  const call = { method: AuthzService.method.verify, principal: "admitted" } as unknown as Call<string>;
  return { seen, call, authz: callerAsFresh(handlers, { guard, catchUp }) };
}

const verify = (...atLeastAsFresh: string[]) => create(VerifyRequestSchema, { atLeastAsFresh });

it("refuses who shows the token of its own key's revocation, whatever it calls", async () => {
  const requests = [
    (authz: Handlers<typeof AuthzService, string>, call: Call<string>, shown: string) =>
      authz.verify(verify(shown), call),
    (authz: Handlers<typeof AuthzService, string>, call: Call<string>, shown: string) =>
      authz.batchVerify(
        create(BatchVerifyRequestSchema, { requests: [{ key: "a" }, { key: "b", atLeastAsFresh: [shown] }] }),
        call,
      ),
    (authz: Handlers<typeof AuthzService, string>, call: Call<string>, shown: string) =>
      authz.heartbeat(create(HeartbeatRequestSchema, { atLeastAsFresh: [shown] }), call),
  ];
  for (const request of requests) {
    const { seen, call, authz } = setUp();
    await expect(request(authz, call, token("identity", 7))).rejects.toMatchObject({
      code: "UNAUTHENTICATED",
    });
    expect(seen.admitted).toEqual([]);
  }
});

it("lets in, by what is known then, who shows another; and asks the feed for each token once", async () => {
  const { seen, call, authz } = setUp();
  const shown = token("identity", 5);
  await authz.verify(verify(shown, shown, token("metering", 3), "not a token"), call);
  expect(seen.admitted).toEqual(["admitted again"]);
  expect(seen.caughtUp.map(({ source, revision }) => [source, revision])).toEqual([["identity", 5]]);
});

it("leaves it to the handler to say that a token cannot be reached", async () => {
  const { seen, call, authz } = setUp();
  await authz.verify(verify(token("identity", 99)), call);
  expect(seen.admitted).toEqual(["admitted again"]);
});

it("does nothing for a call that shows no token", () => {
  const { seen, call, authz } = setUp();
  // Not even a promise: its reply leaves with the others of its turn.
  expect(authz.verify(verify(), call)).toHaveProperty("whenReady");
  authz.verify(verify(), call);
  seen.revision = 7;
  expect(authz.batchVerify(create(BatchVerifyRequestSchema, {}), call)).toEqual({});
  expect(seen.admitted).toEqual(["admitted"]);
});
