import { type Bus, createLog, localBus } from "@gatehouse/service";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { bellSubject, encodeBell } from "./bell.ts";
import { follow } from "./follow.ts";
import { Follower } from "./follower.ts";
import type { Position } from "./position.ts";

const log = createLog({ name: "test", level: "silent" });
const silentBus: Bus = {
  publish: () => {},
  subscribe: () => ({ unsubscribe: () => {} }),
  connected: false,
  close: async () => {},
};

/** A follower of a log in which the test commits. */
function setUp() {
  const head = { incarnation: "one", revision: 0 };
  let at: Position | undefined;
  let failing = false;
  const follower = new Follower<{ revision: number }>({
    clock: { now: () => ({ monotonicMs: performance.now(), wallMs: Date.now() }) },
    source: {
      head: async () => {
        if (failing) throw new Error("no route");
        return { ...head };
      },
      changes: async (after) => [{ revision: after.revision + 1 }],
    },
    replica: {
      position: () => at,
      apply: (after, changes) => (at = { ...after, revision: changes.at(-1)!.revision }),
      restart: (position) => (at = position),
    },
  });
  return { follower, head, fail: (state: boolean) => (failing = state), seen: () => at?.revision };
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setImmediate", "performance", "Date"] });
});

afterEach(() => {
  vi.useRealTimers();
});

describe("following", () => {
  it("pulls at once when the bell rings, having said first what it names", async () => {
    const { follower, head, seen } = setUp();
    const bus = localBus({ log });
    const named: [readonly string[], number | undefined][] = [];
    const onBell = (ids: readonly string[]) => void named.push([ids, seen()]);
    const following = follow({ follower, source: "identity", bus, log, onBell });
    await vi.advanceTimersByTimeAsync(1);
    head.revision = 1;
    bus.publish(bellSubject("identity"), encodeBell({ entityIds: ["key_1"] }));
    await vi.advanceTimersByTimeAsync(1);
    expect(named).toEqual([[["key_1"], 0]]);
    expect(seen()).toBe(1);
    await following.stop();
  });

  it("loses only time with the bell: with a silent bus it is fresh within the poll", async () => {
    const { follower, head, seen } = setUp();
    const following = follow({ follower, source: "identity", bus: silentBus, log });
    await vi.advanceTimersByTimeAsync(1);
    for (let revision = 1; revision <= 20; revision++) {
      head.revision = revision;
      await vi.advanceTimersByTimeAsync(275); // the poll and its jitter
      expect(seen()).toBe(revision);
      expect(follower.ageMs()).toBeLessThanOrEqual(275);
    }
    await following.stop();
  });

  it("is not fresh without the poll: control of the test above", async () => {
    const { follower, head, seen } = setUp();
    await follower.prove();
    head.revision = 1;
    await vi.advanceTimersByTimeAsync(275);
    expect(seen()).toBe(0);
    expect(follower.ageMs()).toBe(275);
  });

  it("takes a forged bell for a reason to look, and for nothing else", async () => {
    const { follower, seen } = setUp();
    const bus = localBus({ log });
    const following = follow({ follower, source: "identity", bus, log });
    await vi.advanceTimersByTimeAsync(1);
    const proofs = follower.proofsBegun;
    bus.publish(bellSubject("identity"), Buffer.from("\0 not a bell"));
    await vi.advanceTimersByTimeAsync(1);
    expect(follower.proofsBegun).toBe(proofs + 1);
    expect(seen()).toBe(0);
    await following.stop();
  });

  it("doubts what the bell names before it pulls, and pulls even where the doubting throws", async () => {
    const { follower } = setUp();
    const bus = localBus({ log });
    const proofsAtBells: number[] = [];
    const onBell = () => {
      proofsAtBells.push(follower.proofsBegun);
      throw new Error("no room for doubt");
    };
    const following = follow({ follower, source: "identity", bus, log, onBell });
    await vi.advanceTimersByTimeAsync(1);
    const proofs = follower.proofsBegun;
    bus.publish(bellSubject("identity"), encodeBell({ entityIds: ["key_1"] }));
    await vi.advanceTimersByTimeAsync(1);
    expect(proofsAtBells).toEqual([proofs]);
    expect(follower.proofsBegun).toBe(proofs + 1);
    await following.stop();
  });

  it("never gives up on a source that is away, and is fresh soon after it is back", async () => {
    const { follower, head, fail, seen } = setUp();
    const following = follow({ follower, source: "identity", bus: silentBus, log });
    await vi.advanceTimersByTimeAsync(1);
    fail(true);
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(follower.ageMs()).toBeGreaterThan(3_590_000);
    fail(false);
    head.revision = 1;
    await vi.advanceTimersByTimeAsync(1100); // the longest backoff and its jitter
    expect(seen()).toBe(1);
    expect(follower.ageMs()).toBeLessThan(1100);
    await following.stop();
  });

  it("hears no bell and asks nothing once it has stopped", async () => {
    const { follower } = setUp();
    const bus = localBus({ log });
    const following = follow({ follower, source: "identity", bus, log });
    await vi.advanceTimersByTimeAsync(1);
    await following.stop();
    const proofs = follower.proofsBegun;
    bus.publish(bellSubject("identity"), encodeBell({ entityIds: [] }));
    await vi.advanceTimersByTimeAsync(2000);
    expect(follower.proofsBegun).toBe(proofs);
  });
});
