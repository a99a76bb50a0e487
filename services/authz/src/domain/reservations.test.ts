import { describe, expect, it } from "vitest";
import { keyed, TestVerifier } from "./verify.fixture.ts";

const TTL_MS = 60_000;

describe("a reserved decision", () => {
  it("is recorded whole under an id that only its verifier's key can show", async () => {
    const test = new TestVerifier();
    test.account("acc_root", {});
    test.account("acc_1", { parentId: "acc_root" });
    const parent = test.key("acc_1");
    const key = test.key("acc_1", { kind: "SUB", parentKeyId: parent.id });
    const verifier = keyed(test, test.key("acc_root", { kind: "MASTER" }));
    const needs = [
      { meter: "tokens", units: 4096 },
      { meter: "requests", units: 1 },
    ];
    const call = { presented: key.presented, resource: "model.chat", needs, reserveTtlMs: TTL_MS };
    const decision = await test.verify(call, verifier);
    expect(decision.code).toBe("VALID");
    const expiresAtMs = test.now.wallMs + TTL_MS;
    expect(decision.reservedUntilMs).toBe(expiresAtMs);
    const { decisionId } = decision;
    expect(test.reserved).toEqual([
      {
        decisionId,
        keyId: key.id,
        parentKeyId: parent.id,
        accountId: "acc_1",
        resource: "model.chat",
        minute: test.now.wallMs / 60_000,
        expiresAtMs,
        charges: needs,
        costs: [],
        draws: [],
      },
    ]);
    expect(test.reservedIds.expiryOf(decisionId, verifier.key.id)).toBe(expiresAtMs);
    expect(test.reservedIds.expiryOf(decisionId, key.id)).toBeUndefined();
  });

  it("is made of what is allowed only, and of what is reserved only", async () => {
    const test = new TestVerifier();
    test.account("acc_root", {});
    const key = test.key("acc_root", { scopes: ["weather.read"] });
    const denied = { presented: key.presented, resource: "orders.create", reserveTtlMs: TTL_MS };
    expect(await test.verify(denied)).toMatchObject({ code: "SCOPE_DENIED", reservedUntilMs: undefined });
    const plain = await test.verify({ presented: key.presented, resource: "weather.read" });
    expect(plain).toMatchObject({ code: "VALID", reservedUntilMs: undefined });
    expect(test.reserved).toEqual([]);
    expect(plain.decisionId).toMatch(/^dec_.{20}$/);
  });
});
