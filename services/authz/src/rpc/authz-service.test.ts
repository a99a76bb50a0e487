import { create } from "@bufbuild/protobuf";
import { DecisionCode, VerifyRequestSchema, type VerifyResponse } from "@gatehouse/proto/authz";
import { describe, expect, it } from "vitest";
import type { LeasePool } from "../domain/lease-pool.ts";
import { MeterBook } from "../domain/meter-book.ts";
import { keyed, TestVerifier } from "../domain/verify.fixture.ts";
import { Verifier, type VerifierOptions } from "../domain/verify.ts";
import { authzHandlers } from "./authz-service.ts";
import { RequestMemory } from "./request-memory.ts";
import { settled } from "./settled.ts";

/** The handlers over a verifier in the test's hands, asked by the provider. */
function served(authz = new TestVerifier(), options: Partial<VerifierOptions> = {}) {
  const handlers = authzHandlers({
    verifier: new Verifier({ ...authz.options, ...options }),
    memory: new RequestMemory(() => authz.now.monotonicMs),
    meters: new MeterBook(async () => ({ position: authz.identity.position, items: new Map() })),
    explain: () => {
      throw new Error("not asked");
    },
    trustedProxies: undefined,
  });
  const principal = { view: authz.provider };
  const verify = (init: object): Promise<VerifyResponse> =>
    settled(handlers.verify(create(VerifyRequestSchema, init), { principal } as never) as never);
  return { authz, verify };
}

it("a call whose charge could not be written down is undecided, to be tried again, and told nothing of it", async () => {
  const { authz } = served();
  const usd = { id: "prc_1", currency: "USD", micros: 7, perUnits: 1 };
  const charged = {
    kind: "charged",
    binding: { bucket: { limit: { id: "lim_1", nodeId: "acc_org" } }, remaining: 9 },
    warnings: ["lim_2"],
    spends: [],
    payments: [{ need: 0, price: usd, micros: 7, carry: { parts: 0 }, parts: 0 }],
  };
  const told = async (error?: Error) => {
    const { verify } = served(authz, {
      pool: { charge: () => charged, undo: () => {} } as unknown as LeasePool,
      journal: { ...authz.options.journal, whenWritten: (callback) => callback(error) },
    });
    return verify({ key: authz.key("acc_org").presented });
  };
  const cost = [{ currency: "USD", micros: 7n }];
  expect(await told()).toMatchObject({ code: DecisionCode.VALID, bindingLimit: { limitId: "lim_1" }, cost });
  const unrecorded = await told(new Error("the disk is full"));
  expect(unrecorded).toMatchObject({ code: DecisionCode.INDETERMINATE, warnings: [], cost: [] });
  expect([unrecorded.bindingLimit, unrecorded.retryAfter?.nanos]).toEqual([undefined, 100_000_000]);
});

describe("a retry under its request id", () => {
  it("is charged once, and answered what it was charged", async () => {
    const { authz, verify } = served();
    const { presented: key } = authz.key("acc_org");
    const call = { key, requestId: "one" };
    const [first, twin] = await Promise.all([verify(call), verify(call)]);
    const again = await verify(call);
    expect([first, twin, again].map(({ code }) => code)).toEqual(Array(3).fill(DecisionCode.VALID));
    expect([twin!.decisionId, again.decisionId]).toEqual([first!.decisionId, first!.decisionId]);
    expect((await verify({ key, requestId: "two" })).decisionId).not.toBe(first!.decisionId);
  });

  it("gets no upstream credential that was withdrawn, and the state that it is decided by", async () => {
    const { authz, verify } = served();
    const seal = (value: string) => authz.sealer.seal(`acc_org x-api-key: ${value}`, "acc_org");
    authz.account("acc_org", { upstreamCredential: seal("first") });
    const { id, presented: key } = authz.key("acc_org");
    const call = { key, requestId: "one" };
    const first = await verify(call);
    expect(first.upstreamHeader?.value).toBe("first");
    authz.account("acc_org", { upstreamCredential: seal("second") });
    authz.changeKey(id, { name: "renamed" });
    const second = await verify(call);
    expect([second.upstreamHeader?.value, second.keyName]).toEqual(["second", "renamed"]);
    expect([second.decisionId, second.freshness === first.freshness]).toEqual([first.decisionId, false]);
    authz.account("acc_org", { upstreamCredential: "" });
    expect((await verify(call)).upstreamHeader).toBeUndefined();
    authz.changeKey(id, { status: "DISABLED" });
    expect((await verify(call)).code).toBe(DecisionCode.DISABLED);
  });

  it("with anything else in it is another call, charged by itself", async () => {
    const { authz, verify } = served();
    const { presented: key } = authz.key("acc_org");
    const first = await verify({ key, requestId: "one" });
    const others = [{ resource: "weather.read" }, { charges: [{ meter: "requests", units: 2n }] }];
    const answers = await Promise.all(others.map((other) => verify({ key, requestId: "one", ...other })));
    const ids = new Set([first, ...answers].map(({ decisionId }) => decisionId));
    expect([ids.size, authz.charged]).toEqual([3, 3]);
    expect((await verify({ key, requestId: "one" })).decisionId).toBe(first.decisionId);
  });

  it("of a call that is refused is decided anew, and of very many at once the last are told to try again", async () => {
    const { authz, verify } = served();
    const bot = authz.key("acc_org", { scopes: ["weather.**"] });
    keyed(authz, bot);
    const call = { key: bot.presented, resource: "orders", requestId: "one" };
    const codes = await Promise.all(Array.from({ length: 30 }, async () => (await verify(call)).code));
    expect(codes.slice(0, 10)).toEqual(Array(10).fill(DecisionCode.SCOPE_DENIED));
    expect(new Set(codes.slice(10))).toEqual(new Set([DecisionCode.INDETERMINATE]));
    authz.changeKey(bot.id, { scopes: ["**"] });
    expect((await verify(call)).code).toBe(DecisionCode.VALID);
  });
});
