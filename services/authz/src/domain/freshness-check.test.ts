import { expect, it } from "vitest";
import { FreshnessCheck } from "./freshness-check.ts";
import { FreshnessGate } from "./freshness-gate.ts";
import { type Refusal, undecidableFor } from "./refusal.ts";
import { callOf } from "./verify.fixture.ts";

function checkOf(ageMs: number) {
  const proof = {
    ageMs: () => ageMs,
    prove: async () => {},
    provenProof: 1,
    isOutOfReach: false,
    position: { incarnation: "inc_1", revision: 1 },
  };
  return new FreshnessCheck({
    identity: { catchUp: async () => true },
    identityProof: proof,
    identityGate: new FreshnessGate(proof, { boundMs: 1000, stalenessMaxMs: 60_000 }),
    meteringProof: { ...proof, ageMs: () => 0 },
  });
}

const now = { monotonicMs: 0, wallMs: 0 };
const exceeded: Refusal = { code: "QUOTA_EXCEEDED" };
const overloaded = undecidableFor("overload");
const token = { source: "identity", incarnation: "inc_1", revision: 2 } as const;

it("proves state that grew old while a limit refused: the key may have been revoked meanwhile", () => {
  const check = checkOf(1001);
  expect(check.of(callOf({}), exceeded, now)).toBeTypeOf("function");
  expect(check.of(callOf({}), overloaded, now)).toBe(overloaded);
  expect(check.proofUnless(exceeded)).toBeTypeOf("function");
  expect(check.proofUnless(overloaded)).toBe(overloaded);
});

it("waits for a token's state whatever a limit said before", () => {
  const check = checkOf(0);
  const call = callOf({ atLeastAsFresh: [token] });
  expect(check.of(call, exceeded, now)).toBeTypeOf("function");
  expect(check.of(call, overloaded, now)).toBe(overloaded);
  expect(check.of(callOf({}), exceeded, now)).toBeUndefined();
});
