import { describe, expect, it, vi } from "vitest";
import type { Decision } from "../src/domain/decision.ts";
import { TestVerifier } from "../src/domain/verify.fixture.ts";
import type { VerifyCall } from "../src/domain/verify-call.ts";
import { RequestMemory } from "../src/rpc/request-memory.ts";

/** What went wrong in the caches of others, and where it could here. The rest is listed in docs/proofs/revocation.md. */

const call: Required<Omit<VerifyCall, "trace">> = {
  presented: "gth_acc_one",
  signed: undefined,
  resource: "weather.read",
  http: undefined,
  address: "192.0.2.1",
  integration: "zapier",
  account: "team",
  needs: [{ meter: "requests", units: 1 }],
  reserveTtlMs: undefined,
  atLeastAsFresh: [],
  at: "",
};

/** For each property of a call, another value. The compiler asks for those that are added. */
const others: { readonly [P in keyof typeof call]: (typeof call)[P] | "none of the answer's business" } = {
  presented: "gth_acc_two",
  signed: { keyId: "key_1" } as never,
  resource: "weather.list",
  http: { method: "GET", path: "/" },
  address: undefined,
  integration: "",
  account: "crew",
  needs: [{ meter: "requests", units: 2 }],
  reserveTtlMs: 1000,
  // A retry may ask for fresher state; where it stands in a batch is its own affair.
  atLeastAsFresh: "none of the answer's business",
  at: "none of the answer's business",
};

const asker = { keyId: "key_verifier", organizationId: "acc_1" };

function memoryOf(...remembered: readonly VerifyCall[]): RequestMemory {
  const memory = new RequestMemory(() => 0);
  for (const each of remembered) {
    memory.remember(asker, "request", each, Promise.resolve({ code: "VALID" } as Decision));
  }
  return memory;
}

describe("what is remembered by a name", () => {
  it.each(Object.entries(others).filter(([, other]) => other !== "none of the answer's business"))(
    "has every property in it that changes the answer: %s",
    (property, other) => {
      const memory = memoryOf(call);
      expect(memory.recall(asker, "request", { ...call })).toBeDefined();
      expect(memory.recall(asker, "request", { ...call, [property]: other })).toBeUndefined();
    },
  );

  it("is not that of another whose parts run together the same", () => {
    const memory = memoryOf({ ...call, resource: "a", account: "bc", integration: "" });
    for (const same of [
      { resource: "ab", account: "c", integration: "" },
      { resource: "", account: "abc", integration: "" },
      { resource: "a", account: "b", integration: "c" },
      { resource: 'a","bc', account: "", integration: "" },
    ]) {
      expect(memory.recall(asker, "request", { ...call, ...same })).toBeUndefined();
    }
    expect(memory.recall({ ...asker, keyId: "key_verifierr" }, "equest", call)).toBeUndefined();
  });
});

describe("calls that miss the same key at the same time", () => {
  it("share one read, and nothing of each other's answer", async () => {
    const authz = new TestVerifier();
    authz.account("acc_sub", { parentId: "acc_org", slug: "team" });
    const key = authz.key("acc_org", { kind: "MASTER", scopes: ["weather.**"], ipAllow: ["192.0.2.0/24"] });
    const other = authz.key("acc_org");
    const reads = vi.spyOn(authz.identity, "resolveKeys");
    const { presented } = key;
    const at = { presented, address: "192.0.2.1" };
    const wrongSecret = presented.slice(0, -1) + (presented.endsWith("a") ? "b" : "a");
    const calls: readonly [Partial<VerifyCall>, string][] = [
      [{ ...at, resource: "weather.read" }, "VALID"],
      [{ ...at, resource: "orders.read" }, "SCOPE_DENIED"],
      [{ ...at, address: "198.51.100.1" }, "ADDRESS_DENIED"],
      [{ ...at, account: "nowhere" }, "TARGET_NOT_FOUND"],
      [{ ...at, account: "team" }, "VALID"],
      [{ ...at, presented: wrongSecret }, "NOT_FOUND"],
      [{ presented: other.presented }, "VALID"],
      [{ ...at, resource: "weather.read" }, "VALID"],
    ];
    const codes = await Promise.all(calls.map(([each]) => authz.code(each)));
    expect(codes).toEqual(calls.map(([, code]) => code));
    expect(reads.mock.calls).toEqual([[[key.id, other.id]]]);
  });
});

describe("NOT_FOUND", () => {
  it("costs the same reads, whether there is no such key, or none that this verifier may know of", async () => {
    const authz = new TestVerifier();
    for (const id of ["acc_one", "acc_two"]) authz.account(id, { organizationId: id });
    const outside = authz.key("acc_two").presented;
    const revoked = authz.key("acc_one", { status: "REVOKED" }).presented;
    const missing = authz.format.mint("ACCOUNT").presented;
    const verifying = authz.key("acc_one");
    await authz.code(verifying);
    const verifier = authz.cache.key(verifying.id)!;
    const reads = vi.spyOn(authz.identity, "resolveKeys");
    const answered = new Set<string>();
    for (const presented of [outside, revoked, missing]) {
      reads.mockClear();
      const { code, reason, entry } = await authz.verify({ presented }, verifier);
      answered.add(JSON.stringify([code, reason, entry, reads.mock.calls.length]));
      expect([await authz.code({ presented }, verifier), reads.mock.calls.length]).toEqual(["NOT_FOUND", 1]);
    }
    expect([...answered]).toEqual([JSON.stringify(["NOT_FOUND", "no such key", undefined, 1])]);
  });

  it("of an account costs the same reads, however often it is asked for, whether it is there or not", async () => {
    const authz = new TestVerifier();
    authz.account("acc_sub", { parentId: "acc_org", slug: "team" });
    authz.account("acc_sibling", { parentId: "acc_org", slug: "crew" });
    authz.account("acc_foreign", { organizationId: "acc_foreign", slug: "foreign" });
    const { presented } = authz.key("acc_sub", { kind: "MASTER" });
    const ofOrganization = authz.key("acc_org", { kind: "MASTER" }).presented;
    const reads = vi.spyOn(authz.identity, "resolveTarget");
    const costs = new Set<string>();
    for (const account of ["crew", "acc_sibling", "acc_foreign", "nobody", "acc_nobody"]) {
      await authz.code({ presented: ofOrganization, account }); // somebody else may have it in the cache
      const seen: unknown[] = [];
      for (const passedMs of [0, 1, 2500, 1]) {
        authz.now.wallMs += passedMs;
        reads.mockClear();
        seen.push(await authz.code({ presented, account }), reads.mock.calls.length);
      }
      costs.add(JSON.stringify(seen));
    }
    const [none, cold, warm] = ["TARGET_NOT_FOUND", 1, 0];
    expect([...costs]).toEqual([JSON.stringify([none, cold, none, warm, none, cold, none, warm])]);
  });

  it("of a forged key costs no read", async () => {
    const authz = new TestVerifier();
    const reads = vi.spyOn(authz.identity, "resolveKeys");
    const { presented } = new TestVerifier().format.mint("ACCOUNT"); // of another pepper
    expect([await authz.code({ presented }), reads.mock.calls.length]).toEqual(["NOT_FOUND", 0]);
  });
});
