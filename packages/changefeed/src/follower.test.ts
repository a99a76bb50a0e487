import { Failure } from "@gatehouse/service/failure";
import { describe, expect, it } from "vitest";
import { type FeedSource, Follower, type Replica } from "./follower.ts";
import type { Position } from "./position.ts";

interface Change {
  readonly revision: number;
}

/** A log in memory, served a page at a time, and what a test makes of its answers. */
class ScriptedSource implements FeedSource<Change> {
  incarnation = "one";
  revision = 0;
  tail = 0;
  readonly page = 2;
  heads = 0;
  answerHead: (head: Position) => Promise<Position> = async (head) => head;
  alterPage: (changes: Change[]) => Change[] = (changes) => changes;

  head(): Promise<Position> {
    this.heads++;
    return this.answerHead({ incarnation: this.incarnation, revision: this.revision });
  }

  async changes(after: Position): Promise<Change[]> {
    if (after.revision < this.tail) {
      throw new Failure({ code: "OUT_OF_RANGE", reason: "LOG_TRUNCATED", message: "trimmed" });
    }
    const count = Math.min(this.page, this.revision - after.revision);
    return this.alterPage(Array.from({ length: count }, (_, i) => ({ revision: after.revision + 1 + i })));
  }
}

class RecordingReplica implements Replica<Change> {
  at: Position | undefined;
  readonly applied: number[] = [];
  restarts = 0;

  position(): Position | undefined {
    return this.at;
  }

  apply(after: Position, changes: readonly Change[]): Position {
    this.applied.push(...changes.map(({ revision }) => revision));
    this.at = { ...after, revision: this.applied.at(-1)! };
    return this.at;
  }

  restart(head: Position): Position {
    this.restarts++;
    this.at = head;
    return head;
  }
}

function setUp() {
  const source = new ScriptedSource();
  const replica = new RecordingReplica();
  const now = { monotonicMs: 0, wallMs: 1_000_000 };
  const clock = { now: () => ({ ...now }) };
  const pass = (ms: number) => {
    now.monotonicMs += ms;
    now.wallMs += ms;
  };
  return { source, replica, now, pass, follower: new Follower({ source, replica, clock }) };
}

/** The next head that is asked for is answered when the test says so, with the head as it was asked. */
function holdHead(source: ScriptedSource): { answer(): void; fail(): void } {
  const gate = Promise.withResolvers<void>();
  source.answerHead = async (head) => {
    source.answerHead = async (later) => later;
    await gate.promise;
    return head;
  };
  return { answer: () => gate.resolve(), fail: () => gate.reject(new Error("no route")) };
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

describe("a follower", () => {
  it("is infinitely old before its first proof, and begins at the head", async () => {
    const { follower, source, replica } = setUp();
    expect(follower.ageMs()).toBe(Number.POSITIVE_INFINITY);
    source.revision = 5;
    await follower.prove();
    expect([follower.ageMs(), replica.restarts, replica.applied]).toEqual([0, 1, []]);
    expect(follower.position).toEqual({ incarnation: "one", revision: 5 });
  });

  it("applies every change up to the head, page by page, in order", async () => {
    const { follower, source, replica } = setUp();
    await follower.prove();
    source.revision = 7;
    await follower.prove();
    expect(replica.applied).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(follower.position?.revision).toBe(7);
  });

  it("is fresh only as of when its request was sent, not when the answer came", async () => {
    const { follower, source, pass } = setUp();
    const head = holdHead(source);
    const proof = follower.prove();
    await settle();
    pass(400);
    head.answer();
    await proof;
    expect(follower.ageMs()).toBe(400);
  });

  it("learns nothing about a pause from a reply that lay waiting through it", async () => {
    const { follower, source, now } = setUp();
    await follower.prove();
    const head = holdHead(source);
    const proof = follower.prove();
    await settle();
    source.revision = 1; // committed during the pause
    now.wallMs += 30_000; // suspended: the monotonic clock stood still
    head.answer();
    await proof;
    expect(follower.position?.revision).toBe(0);
    expect(follower.ageMs()).toBe(30_000);
  });

  it("refuses a page with a gap, and is no fresher for it", async () => {
    const { follower, source, pass } = setUp();
    await follower.prove();
    source.revision = 4;
    source.alterPage = (changes) => changes.slice(1);
    pass(10);
    await expect(follower.prove()).rejects.toThrow("skipped");
    expect(follower.ageMs()).toBe(10);
    expect(follower.position?.revision).toBe(0);
  });

  it("refuses an empty page below the head: it is not the news that nothing happened", async () => {
    const { follower, source, pass } = setUp();
    await follower.prove();
    source.revision = 1;
    source.alterPage = () => [];
    pass(10);
    await expect(follower.prove()).rejects.toThrow("no changes after 0");
    expect(follower.ageMs()).toBe(10);
  });

  it("refuses a replica that does not move, instead of asking for ever", async () => {
    const { follower, source, replica } = setUp();
    await follower.prove();
    source.revision = 1;
    replica.apply = (after) => after;
    await expect(follower.prove()).rejects.toThrow("stands still");
  });

  it("takes a head that went backwards for another history, and forgets everything", async () => {
    const { follower, source, replica } = setUp();
    source.revision = 9;
    await follower.prove();
    source.revision = 8;
    await follower.prove();
    expect(replica.restarts).toBe(2);
    expect(follower.position?.revision).toBe(8);
  });

  it("forgets everything when the incarnation is another, at whatever revision", async () => {
    const { follower, source, replica } = setUp();
    await follower.prove();
    source.incarnation = "two";
    source.revision = 3;
    await follower.prove();
    expect([replica.restarts, replica.applied]).toEqual([2, []]);
    expect(follower.position).toEqual({ incarnation: "two", revision: 3 });
  });

  it("begins again at the head where the log was cut off behind it", async () => {
    const { follower, source, replica } = setUp();
    await follower.prove();
    source.revision = 9;
    source.tail = 5;
    await follower.prove();
    expect([replica.restarts, replica.applied]).toEqual([2, []]);
    expect(follower.position?.revision).toBe(9);
  });

  it("gives up for this time where the log is cut off again and again", async () => {
    const { follower, source, replica } = setUp();
    await follower.prove();
    source.revision = 9;
    source.tail = 9;
    replica.restart = () => ({ incarnation: "one", revision: 1 });
    await expect(follower.prove()).rejects.toMatchObject({ reason: "LOG_TRUNCATED" });
    expect(follower.position?.revision).toBe(0);
  });

  it("is never fresher for a source that fails or hangs, and tries again after", async () => {
    const { follower, source, pass } = setUp();
    await follower.prove();
    const head = holdHead(source);
    const failing = follower.prove();
    const waiting = follower.prove();
    pass(5000);
    expect(follower.ageMs()).toBe(5000);
    head.fail();
    await expect(failing).rejects.toThrow("no route");
    await waiting;
    expect(follower.ageMs()).toBe(0);
  });

  it("asks once for all who wait, and never lends them a proof that began before they asked", async () => {
    const { follower, source } = setUp();
    const head = holdHead(source);
    const first = follower.prove();
    await settle();
    source.revision = 1;
    const waiting = [follower.prove(), follower.prove(), follower.prove()];
    head.answer();
    await first;
    expect(follower.position?.revision).toBe(0);
    await Promise.all(waiting);
    expect(follower.position?.revision).toBe(1);
    expect(source.heads).toBe(2);
  });

  it("numbers its proofs, so that a doubt is settled only by one begun after it", async () => {
    const { follower, source } = setUp();
    await follower.prove();
    const head = holdHead(source);
    const under = follower.prove();
    await settle();
    const doubtedAt = follower.proofsBegun;
    head.answer();
    await under;
    expect(follower.provenProof).toBe(doubtedAt);
    await follower.prove();
    expect(follower.provenProof).toBeGreaterThan(doubtedAt);
  });

  it("takes its source for out of reach after two failures in a row, of requests of the last second", async () => {
    const { follower, source, pass } = setUp();
    await follower.prove();
    const fail = async () => {
      const head = holdHead(source);
      const failing = follower.prove();
      await settle();
      pass(400);
      head.fail();
      await expect(failing).rejects.toThrow("no route");
      return follower.isOutOfReach;
    };
    expect([await fail(), await fail()]).toEqual([false, true]);
    pass(600);
    expect(follower.isOutOfReach).toBe(true);
    pass(1); // a second since the latest was sent: what was found out then says nothing of now
    expect(follower.isOutOfReach).toBe(false);
    expect(await fail()).toBe(true);
    await follower.prove();
    expect([follower.isOutOfReach, await fail()]).toEqual([false, false]);
  });

  it("dates a failure by the request that was not answered, not by when its proof began", async () => {
    const { follower, source, pass } = setUp();
    await follower.prove();
    source.revision = 2;
    source.alterPage = () => {
      pass(800);
      throw new Error("no page");
    };
    for (const isOutOfReach of [false, true]) {
      const head = holdHead(source);
      const failing = follower.prove();
      await settle();
      pass(300);
      head.answer();
      await expect(failing).rejects.toThrow("no page");
      expect(follower.isOutOfReach).toBe(isOutOfReach);
    }
  });

  it("counts a proof that failed as begun, not as proven", async () => {
    const { follower, source } = setUp();
    await follower.prove();
    source.answerHead = async () => {
      throw new Error("no route");
    };
    await expect(follower.prove()).rejects.toThrow();
    expect([follower.proofsBegun, follower.provenProof]).toEqual([2, 1]);
  });
});
