import { describe, expect, it } from "vitest";
import { FreshnessGate } from "./freshness-gate.ts";

function setUp() {
  const follower = {
    reachable: true,
    provenProof: 1,
    failures: 0,
    position: undefined,
    ageMs: () => 0,
    get isOutOfReach() {
      return this.failures >= 2;
    },
    async prove() {
      if (!this.reachable) {
        this.failures++;
        throw new Error("no route");
      }
      this.failures = 0;
      this.provenProof++;
    },
  };
  return { follower, gate: new FreshnessGate(follower, { boundMs: 1000, stalenessMaxMs: 10_000 }) };
}

describe("the freshness gate", () => {
  it("lets answer what is within the bound, and has everything else proven first", () => {
    const { gate } = setUp();
    expect(gate.check(1000)).toBe("fresh");
    expect(gate.check(1001)).toBe("prove");
    expect(gate.check(Number.POSITIVE_INFINITY)).toBe("prove");
  });

  it("serves stale answers only once the source was found out of reach, and only so long", async () => {
    const { gate, follower } = setUp();
    follower.reachable = false;
    expect(gate.check(5000)).toBe("prove");
    expect(await gate.prove()).toBe(false);
    expect([gate.unreachable, gate.check(5000), gate.check(10_000)]).toEqual([true, "stale", "stale"]);
    expect(gate.check(10_001)).toBe("too-old");
    expect(gate.check(Number.POSITIVE_INFINITY)).toBe("too-old");
    expect(gate.check(1000)).toBe("fresh");
  });

  it("does not take one proof that failed for a source out of reach", async () => {
    const { gate, follower } = setUp();
    const prove = follower.prove;
    follower.prove = async () => {
      follower.failures = 1;
      follower.prove = prove;
      throw new Error("its deadline passed while this process was stopped");
    };
    expect(await gate.prove()).toBe(true);
    expect([gate.unreachable, gate.check(1001)]).toEqual([false, "prove"]);
  });

  it("does not wait where the loop has found out already", () => {
    const { gate, follower } = setUp();
    follower.failures = 2;
    expect([gate.check(1001), gate.check(10_001)]).toEqual(["stale", "too-old"]);
  });

  it("asks again after any proof has succeeded, whoever made it", async () => {
    const { gate, follower } = setUp();
    follower.reachable = false;
    await gate.prove();
    follower.reachable = true;
    await follower.prove();
    expect([gate.unreachable, gate.check(1001)]).toEqual([false, "prove"]);
  });

  it("never serves stale answers where none may be stale", async () => {
    const { follower } = setUp();
    const gate = new FreshnessGate(follower, { boundMs: 1000, stalenessMaxMs: 0 });
    follower.reachable = false;
    await gate.prove();
    expect(gate.check(1001)).toBe("too-old");
  });
});
