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
const by = (keyId: string, organizationId = "acc_1") => ({ keyId, organizationId });
const remember = (
  memory: RequestMemory,
  verifier: ReturnType<typeof by>,
  requestId: string,
  decision = valid,
) => memory.remember(verifier, requestId, call, Promise.resolve(decision));

describe("a call with a request id", () => {
  it("is remembered for a minute from when it is being decided, and nothing of it but what it was charged", async () => {
    let nowMs = 0;
    const memory = new RequestMemory(() => nowMs);
    remember(memory, by("key_v"), "one");
    expect(await memory.recall(by("key_v"), "one", call)).toEqual(charge);
    // By then nothing holds on to the key any more.
    expect(memory.recall(by("key_v"), "one", call)).toEqual(charge);
    nowMs = MINUTE_MS;
    expect(memory.recall(by("key_v"), "one", call)).toBeUndefined();
    remember(memory, by("key_other"), "two");
    expect(memory.size).toBe(1);
  });

  it("is forgotten where it was refused, failed, or could not be written down", async () => {
    const memory = new RequestMemory(() => 0);
    const refused = { ...valid, code: "SCOPE_DENIED" } as Decision;
    remember(memory, by("key_v"), "refused", refused);
    memory.remember(by("key_v"), "failed", call, Promise.reject(new Error("the caller left")));
    const waited = [memory.recall(by("key_v"), "refused", call), memory.recall(by("key_v"), "failed", call)];
    expect(await Promise.all(waited)).toEqual([undefined, undefined]);
    expect(memory.size).toBe(0);
  });

  it("that spends nothing is not remembered, unless it was signed and so took its nonce", () => {
    const memory = new RequestMemory(() => 0);
    const peek = callOf({ needs: [{ meter: "requests", units: 0 }] });
    memory.remember(by("key_v"), "peek", peek, Promise.resolve(valid));
    expect(memory.size).toBe(0);
    memory.remember(by("key_v"), "peek", { ...peek, signed: {} as never }, Promise.resolve(valid));
    expect(memory.size).toBe(1);
  });

  it("decided anew in place of one that is still being decided is not forgotten with that", async () => {
    let nowMs = 0;
    const memory = new RequestMemory(() => nowMs);
    const first = Promise.withResolvers<Decision>();
    memory.remember(by("key_v"), "slow", call, first.promise);
    nowMs = MINUTE_MS;
    remember(memory, by("key_v"), "slow");
    first.resolve({ ...valid, code: "RATE_LIMITED" });
    await first.promise;
    expect(await memory.recall(by("key_v"), "slow", call)).toEqual(charge);
  });
});

describe("the room", () => {
  it("is shared: an organization that asks without end, with however many keys, forgets its own calls", () => {
    const memory = new RequestMemory(() => 0, 100);
    const [quiet, late] = [by("key_quiet", "acc_quiet"), by("key_late", "acc_late")];
    const greedy = (n: number) => by(`key_${n}`, "acc_greedy");
    remember(memory, quiet, "kept");
    for (let n = 0; n < 1000; n++) remember(memory, greedy(n), "its");
    expect(memory.recall(quiet, "kept", call)).toBeDefined();
    expect(memory.recall(greedy(999), "its", call)).toBeDefined();
    expect(memory.recall(greedy(0), "its", call)).toBeUndefined();
    for (let n = 0; n < 1000; n++) remember(memory, late, `${n}`);
    expect(memory.recall(greedy(999), "its", call)).toBeDefined();
    expect([memory.size <= 100, memory.recall(quiet, "kept", call) === undefined]).toEqual([true, false]);
  });

  it("is one organization's, and yet each of its verifiers has answers of its own", () => {
    const memory = new RequestMemory(() => 0);
    remember(memory, by("key_one"), "same");
    expect(memory.recall(by("key_two"), "same", call)).toBeUndefined();
  });

  it("is never passed, counts what is there, and is empty a minute after the last call but for that", () => {
    const step = fc.record({ verifier: fc.nat({ max: 4 }), id: fc.nat({ max: 30 }), passMs: fc.nat(20_000) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        let nowMs = 0;
        const memory = new RequestMemory(() => nowMs, 20);
        for (const { verifier, id, passMs } of steps) {
          nowMs += passMs;
          remember(memory, by(`key_${verifier}`, `acc_${verifier % 3}`), `${id}`);
          expect(memory.size).toBeLessThanOrEqual(20);
          expect(memory.recall(by(`key_${verifier}`, `acc_${verifier % 3}`), `${id}`, call)).toBeDefined();
        }
        nowMs += MINUTE_MS;
        remember(memory, by("key_last"), "last");
        expect(memory.size).toBe(1);
      }),
    );
  });
});
