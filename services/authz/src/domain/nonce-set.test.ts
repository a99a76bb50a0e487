import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Replica, WINDOW_MS } from "./nonce-set.fixture.ts";
import type { NonceUse } from "./nonce-set.ts";

type Step = (replica: Replica, sent: NonceUse[], admitted: Set<NonceUse>) => void;

const signs = fc.tuple(fc.integer({ min: -WINDOW_MS, max: WINDOW_MS }), fc.nat({ max: 20 })).map(
  ([agoMs, n]): Step =>
    (replica, sent) =>
      void sent.push(replica.use(`nonce-${n}`, agoMs)),
);
const sends = fc.nat().map(
  (n): Step =>
    (replica, sent, admitted) => {
      const use = sent[n % Math.max(sent.length, 1)];
      if (use === undefined || !replica.admit(use)) return;
      expect(admitted.has(use), "admitted twice").toBe(false);
      admitted.add(use);
    },
);
const passes = fc.integer({ min: 0, max: 20_000 }).map(
  (ms): Step =>
    (replica) =>
      replica.pass(ms),
);
const steps = fc.integer({ min: -200_000, max: 200_000 }).map(
  (ms): Step =>
    (replica) =>
      replica.step(ms),
);
const restarts = fc.integer({ min: 0, max: 5000 }).map(
  (ms): Step =>
    (replica) =>
      replica.restart(ms),
);
const histories = fc.array(
  fc.oneof(
    { arbitrary: signs, weight: 3 },
    { arbitrary: sends, weight: 6 },
    { arbitrary: passes, weight: 3 },
    { arbitrary: steps, weight: 1 },
    { arbitrary: restarts, weight: 1 },
  ),
  { maxLength: 60 },
);

function run(history: readonly Step[], replica: Replica): void {
  const sent: NonceUse[] = [];
  const admitted = new Set<NonceUse>();
  for (const step of history) step(replica, sent, admitted);
}

describe("a request", () => {
  it("is admitted once, whatever becomes of the clock and the process", () => {
    fc.assert(
      fc.property(histories, (history) => run(history, new Replica())),
      { numRuns: 2000 },
    );
  });

  it("is admitted twice where what is not known is admitted", () => {
    const careless = fc.property(histories, (history) => run(history, new Replica({ isCareless: true })));
    expect(fc.check(careless, { numRuns: 5000 }).failed).toBe(true);
  });

  it("is admitted when it is new and in the window, as long as no clock is set back and no process ends", () => {
    const step = fc.tuple(
      fc.integer({ min: 0, max: 20_000 }),
      fc.integer({ min: -WINDOW_MS, max: WINDOW_MS }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (history) => {
        const replica = new Replica();
        replica.pass(WINDOW_MS + 1);
        for (const [i, [ms, agoMs]] of history.entries()) {
          replica.pass(ms);
          expect(replica.admit(replica.use(`nonce-${i}`, agoMs))).toBe(true);
        }
      }),
    );
  });

  it("is remembered to the last moment of the window, and room is made after it", () => {
    const replica = new Replica();
    const ahead = replica.use("of a clock that is ahead", -WINDOW_MS);
    expect(replica.admit(ahead)).toBe(true);
    replica.pass(2 * WINDOW_MS);
    expect(replica.state(ahead)).toBe("taken");
    replica.pass(WINDOW_MS / 4 + 1);
    expect(replica.state(ahead)).toBe("unknown");
    expect(replica.nonces.size).toBe(0);
  });

  it("of before a clock was set back is not known, and one of after it is", () => {
    const replica = new Replica();
    const early = replica.use("early");
    expect(replica.admit(early)).toBe(true);
    replica.pass(2 * WINDOW_MS);
    expect(replica.admit(replica.use("late"))).toBe(true);
    replica.step(-2 * WINDOW_MS);
    expect(replica.state(early)).toBe("unknown");
    replica.pass(1);
    expect(replica.admit(replica.use("after"))).toBe(true);
  });

  it("is remembered by a clock that jumps ahead for a while", () => {
    const replica = new Replica();
    const use = replica.use("once");
    expect(replica.admit(use)).toBe(true);
    replica.step(3_600_000);
    expect(replica.admit(replica.use("meanwhile"))).toBe(true);
    replica.step(-3_600_000);
    expect(replica.state(use)).toBe("taken");
  });

  it("of before a restart is not known, however far ahead its client's clock was", () => {
    const replica = new Replica();
    const ahead = replica.use("ahead", -WINDOW_MS);
    const timely = replica.use("timely");
    expect([replica.admit(ahead), replica.admit(timely)]).toEqual([true, true]);
    replica.restart(10);
    expect([replica.state(ahead), replica.state(timely)]).toEqual(["unknown", "unknown"]);
    expect(replica.state(timely, true), "the deployment remembers it").toBe("unseen");
    replica.pass(WINDOW_MS + 2000);
    expect(replica.admit(replica.use("new"))).toBe(true);
  });

  it("of one key whose clock is ahead makes nobody else wait after a restart", () => {
    const replica = new Replica();
    expect(replica.admit(replica.use("timely"))).toBe(true);
    const ahead = replica.use("ahead", -WINDOW_MS, "key_ahead");
    expect(replica.admit(ahead)).toBe(true);
    replica.restart(1500);
    expect(replica.state(ahead)).toBe("unknown");
    expect(replica.state(replica.use("before", 0, "key_ahead"))).toBe("unknown");
    expect(replica.admit(replica.use("other", -1))).toBe(true);
    expect(replica.keyMarks.writes).toBe(1);
  });

  it("of before strict replay was turned on is known where it was admitted, and admitted nowhere else", () => {
    const [here, elsewhere] = [new Replica(), new Replica()];
    const early = here.use("early");
    expect(here.admit(early)).toBe(true);
    const sinceMs = here.now.wallMs + 1;
    for (const replica of [here, elsewhere]) replica.pass(5000);
    expect([here.state(early, true, sinceMs), elsewhere.state(early, true, sinceMs)]).toEqual([
      "taken",
      "unknown",
    ]);
    expect(elsewhere.state(early, true), "where the deployment knew all along").toBe("unseen");
    // A replica may have heard of it that much later, and clocks be two seconds apart.
    const [late, later] = [13_000, 13_001].map((ms) => ({ ...here.use(`${ms}`), timestampMs: sinceMs + ms }));
    expect([elsewhere.state(late!, true, sinceMs), elsewhere.state(later!, true, sinceMs)]).toEqual([
      "unknown",
      "unseen",
    ]);
  });

  it("of a client that was ahead when strict replay was turned on is not admitted again after a restart", () => {
    const replica = new Replica();
    const ahead = replica.use("ahead", 10 - WINDOW_MS);
    expect(replica.admit(ahead)).toBe(true);
    const sinceMs = replica.now.wallMs + 1;
    replica.restart(5000);
    expect(replica.state(ahead, true, sinceMs)).toBe("unknown");
    replica.pass(WINDOW_MS);
    const fresh = replica.use("signed when nobody can have admitted it without the deployment");
    expect(replica.state(fresh, true, sinceMs)).toBe("unseen");
  });

  it("costs a write of the mark about once a second, and is not admitted without", () => {
    const replica = new Replica();
    const before = replica.mark.writes;
    for (let ms = 0; ms < 10_000; ms += 10) {
      replica.pass(10);
      expect(replica.admit(replica.use(`nonce-${ms}`))).toBe(true);
    }
    expect(replica.mark.writes - before).toBeLessThanOrEqual(11);
    replica.mark.isBroken = true;
    replica.pass(2000);
    expect(replica.admit(replica.use("unwritten"))).toBe(false);
  });
});

describe("the room", () => {
  it("is never passed, and no organization takes more than what it leaves", () => {
    const replica = new Replica({ capacity: 100 });
    const fill = (organizationId: string) => {
      let taken = 0;
      const next = () => replica.use(`nonce-${taken}`, 0, `key_of_${organizationId}`, organizationId);
      while (replica.admit(next())) taken++;
      return taken;
    };
    expect([fill("acc_1"), fill("acc_2"), fill("acc_3")]).toEqual([50, 25, 13]);
    for (let n = 0; n < 100; n++) fill(`acc_of_many_${n}`);
    expect(replica.nonces.size).toBeLessThanOrEqual(100);
    expect(replica.state(replica.use("nonce-0", 0, "key_of_acc_1"))).toBe("taken");
  });

  it("that an organization has is the same for one key as for a thousand", () => {
    const replica = new Replica({ capacity: 100 });
    const admitted = Array.from({ length: 1000 }, (_, n) =>
      replica.admit(replica.use("nonce", 0, `key_${n}`, "acc_greedy")),
    );
    expect(admitted.filter(Boolean)).toHaveLength(50);
    expect(replica.admit(replica.use("nonce", 0, "key_other", "acc_other"))).toBe(true);
  });

  it("comes back with what was not admitted after all", () => {
    const replica = new Replica({ capacity: 2 });
    const use = replica.use("given back");
    expect(replica.admit(use)).toBe(true);
    expect(replica.nonces.prepare(replica.use("no room for it"), replica.now)).toBe(false);
    replica.nonces.giveBack(use, false);
    expect(replica.nonces.size).toBe(0);
    expect(replica.admit(use)).toBe(true);
  });

  it("holds what the deployment granted, until it is admitted", () => {
    const replica = new Replica();
    const use = replica.use("granted");
    replica.nonces.claim(use, replica.now);
    replica.nonces.claim(use, replica.now);
    expect([replica.state(use, true), replica.nonces.size]).toEqual(["claimed", 1]);
    replica.nonces.take(use, replica.now);
    expect([replica.state(use, true), replica.nonces.size]).toEqual(["taken", 1]);
    replica.nonces.giveBack(use, true);
    expect([replica.state(use, true), replica.nonces.size]).toEqual(["claimed", 1]);
  });

  it("takes no more generations than it has, however clocks are set", () => {
    const replica = new Replica();
    const uses = Array.from({ length: 200 }, (_, n) => {
      replica.pass(10);
      replica.step(n % 2 === 0 ? 7_300_000 : -7_200_000);
      const use = replica.use(`nonce-${n}`);
      expect(replica.admit(use)).toBe(true);
      return use;
    });
    expect(uses.every((use) => replica.state(use) === "taken")).toBe(true);
  });
});
