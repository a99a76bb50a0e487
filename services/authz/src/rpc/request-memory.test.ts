import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Decision } from "../domain/decision.ts";
import { callOf } from "../domain/verify.fixture.ts";
import { type Charge, RequestMemory } from "./request-memory.ts";

const MINUTE_MS = 60_000;
const charge: Charge = {
  decisionId: "dec_1",
  reservedUntilMs: undefined,
  binding: undefined,
  warnings: [],
  cost: undefined,
};
const valid = { ...charge, code: "VALID", entry: { key: { id: "key_1" } } } as unknown as Decision;
const call = callOf({ presented: "gth_acc_one" });
const remember = (memory: RequestMemory, verifier: string, requestId: string, decision = valid) =>
  memory.remember(verifier, requestId, call, Promise.resolve(decision));

describe("a call with a request id", () => {
  it("is remembered for a minute from when it is being decided, and nothing of it but what it was charged", async () => {
    let nowMs = 0;
    const memory = new RequestMemory(() => nowMs);
    remember(memory, "key_v", "one");
    expect(await memory.recall("key_v", "one", call)).toEqual(charge);
    // By then nothing holds on to the key any more.
    expect(memory.recall("key_v", "one", call)).toEqual(charge);
    nowMs = MINUTE_MS;
    expect(memory.recall("key_v", "one", call)).toBeUndefined();
    remember(memory, "key_other", "two");
    expect(memory.size).toBe(1);
  });

  it("is forgotten where it was refused, failed, or could not be written down", async () => {
    const memory = new RequestMemory(() => 0);
    const refused = { ...valid, code: "SCOPE_DENIED" } as Decision;
    remember(memory, "key_v", "refused", refused);
    memory.remember("key_v", "failed", call, Promise.reject(new Error("the caller left")));
    const waited = [memory.recall("key_v", "refused", call), memory.recall("key_v", "failed", call)];
    expect(await Promise.all(waited)).toEqual([undefined, undefined]);
    expect(memory.size).toBe(0);
  });

  it("that spends nothing is not remembered, unless it was signed and so took its nonce", () => {
    const memory = new RequestMemory(() => 0);
    const peek = callOf({ needs: [{ meter: "requests", units: 0 }] });
    memory.remember("key_v", "peek", peek, Promise.resolve(valid));
    expect(memory.size).toBe(0);
    memory.remember("key_v", "peek", { ...peek, signed: {} as never }, Promise.resolve(valid));
    expect(memory.size).toBe(1);
  });

  it("decided anew in place of one that is still being decided is not forgotten with that", async () => {
    let nowMs = 0;
    const memory = new RequestMemory(() => nowMs);
    const first = Promise.withResolvers<Decision>();
    memory.remember("key_v", "slow", call, first.promise);
    nowMs = MINUTE_MS;
    remember(memory, "key_v", "slow");
    first.resolve({ ...valid, code: "RATE_LIMITED" });
    await first.promise;
    expect(await memory.recall("key_v", "slow", call)).toEqual(charge);
  });
});

describe("the room", () => {
  it("is shared: a verifier that asks without end forgets its own calls, and nobody else's", () => {
    const memory = new RequestMemory(() => 0, 100);
    remember(memory, "key_quiet", "kept");
    for (let n = 0; n < 1000; n++) remember(memory, "key_greedy", `${n}`);
    expect(memory.recall("key_quiet", "kept", call)).toBeDefined();
    expect(memory.recall("key_greedy", "999", call)).toBeDefined();
    expect(memory.recall("key_greedy", "0", call)).toBeUndefined();
    for (let n = 0; n < 1000; n++) remember(memory, "key_late", `${n}`);
    expect(memory.recall("key_greedy", "999", call)).toBeDefined();
    expect(memory.size).toBeLessThanOrEqual(100);
  });

  it("is never passed, counts what is there, and is empty a minute after the last call but for that", () => {
    const step = fc.record({ verifier: fc.nat({ max: 4 }), id: fc.nat({ max: 30 }), passMs: fc.nat(20_000) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        let nowMs = 0;
        const memory = new RequestMemory(() => nowMs, 20);
        for (const { verifier, id, passMs } of steps) {
          nowMs += passMs;
          remember(memory, `key_${verifier}`, `${id}`);
          expect(memory.size).toBeLessThanOrEqual(20);
          expect(memory.recall(`key_${verifier}`, `${id}`, call)).toBeDefined();
        }
        nowMs += MINUTE_MS;
        remember(memory, "key_last", "last");
        expect(memory.size).toBe(1);
      }),
    );
  });
});
