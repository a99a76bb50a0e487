import { systemClock } from "@gatehouse/changefeed";
import { describe, expect, it } from "vitest";
import type { Journal } from "./journal.ts";
import { LeasePool } from "./lease-pool.ts";
import type { AcquireReply, LeaseSource } from "./lease-source.ts";
import type { Limit } from "./limit.ts";
import { LimitBook } from "./limit-book.ts";
import { FREE } from "./price-book.fixture.ts";

const position = { incarnation: "one", revision: 1 };
const limit: Limit = {
  id: "lim_1",
  nodeId: "acc_1",
  meter: "requests",
  pattern: "",
  kind: "quota",
  enforcement: "ENFORCE",
};
const granted: AcquireReply = {
  position,
  limits: [{ nodeId: "acc_1", limits: [limit] }],
  results: [{ outcome: "GRANTED" }],
  leases: [
    { id: "lease_1", limitId: "lim_1", units: 20, ttlMs: 60_000, windowEndMs: undefined, remaining: 20 },
  ],
};
const shortage = {
  outcome: "EXHAUSTED",
  limitId: "lim_1",
  remaining: 20,
  leased: 20,
  retryAfterMs: 86_400_000,
  windowEndMs: undefined,
} as const;
const exhausted: AcquireReply = { ...granted, results: [shortage], leases: [] };

/** A pool that holds 20 units of a quota; metering answers what `replies` says after that. */
async function poolOf(replies: (AcquireReply | Promise<AcquireReply>)[]) {
  const book = new LimitBook(100);
  book.restart(position);
  const closed: unknown[] = [];
  const journal: Journal = {
    series: () => ({}),
    lease: (id) => ({ id }),
    granted: () => {},
    charge: () => {},
    spend: () => {},
    reserve: () => {},
    close: (lease) => closed.push(lease),
    denied: () => {},
    whenWritten: (callback) => setImmediate(callback),
  };
  let shipped = 0;
  let answerLate: (reply: AcquireReply) => void = () => {};
  const source: LeaseSource = {
    acquire: async (_request, _trace, onLate = () => {}) => {
      answerLate = onLate;
      return replies.shift()!;
    },
  };
  replies.unshift(granted);
  const options = { book, prices: FREE, journal, source, clock: systemClock, identityFreshness: () => "" };
  const pool = new LeasePool({ ...options, ship: () => shipped++ });
  await pool.acquire({ nodeIds: ["acc_1"], resource: "", needs: [], due: [] });
  const bucket = pool.bucket("lim_1")!;
  const ask = {
    nodeIds: ["acc_1"],
    resource: "",
    needs: [{ meter: "requests", units: 25 }],
    due: [{ bucket, units: 25 }],
  };
  return {
    pool,
    book,
    bucket,
    ask,
    closed,
    shipped: () => shipped,
    answerLate: (late: AcquireReply) => answerLate(late),
  };
}

describe("a lease pool", () => {
  it("does not take for used up what it has just given back", async () => {
    const { pool, bucket, ask, shipped } = await poolOf([exhausted]);
    pool.sweep(0);
    expect((await pool.acquire(ask)).outcome).toBe("NOT_NOW");
    expect([bucket.refusal, shipped()]).toEqual([undefined, 1]);
  });

  it("takes for used up what was drawn on by more than all that is lent, whatever it gave back", async () => {
    const overdrawn = { ...exhausted, results: [{ ...shortage, remaining: -500 }] };
    const { pool, bucket, ask } = await poolOf([overdrawn]);
    pool.sweep(0);
    expect((await pool.acquire(ask)).outcome).toBe("EXHAUSTED");
    expect(bucket.refusal).toMatchObject({ units: 25, held: 0, remaining: -500 });
  });

  it("remembers a refusal of a bucket of which it gave nothing back", async () => {
    const { pool, bucket, ask } = await poolOf([exhausted]);
    expect(await pool.acquire(ask)).toMatchObject({ outcome: "EXHAUSTED", remaining: 40, held: 20 });
    expect(bucket.refusal).toMatchObject({ units: 25, held: 20, remaining: 40 });
  });

  it("has what it is lent after it has given up waiting", async () => {
    const failed = Promise.reject(new Error("too slow"));
    failed.catch(() => {});
    const { pool, bucket, ask, answerLate } = await poolOf([failed]);
    await expect(pool.acquire(ask)).rejects.toThrow("too slow");
    answerLate({ ...granted, leases: [{ ...granted.leases[0]!, id: "late" }] });
    expect(bucket.left(systemClock.now())).toBe(40);
  });

  it("gives back at its end what it has given up waiting for, and takes nothing after that", async () => {
    const failed = Promise.reject(new Error("too slow"));
    failed.catch(() => {});
    const { pool, bucket, ask, closed, answerLate } = await poolOf([failed]);
    await expect(pool.acquire(ask)).rejects.toThrow("too slow");
    await pool.drain();
    // All that the second request was lent.
    expect(closed).toEqual([{ id: ".2" }, { id: "lease_1" }]);
    answerLate({ ...granted, leases: [{ ...granted.leases[0]!, id: "too late" }] });
    expect([closed.length, bucket.left(systemClock.now())]).toEqual([2, 0]);
  });

  it("spends nothing that a history lent which was replaced while the answer travelled", async () => {
    const failed = Promise.reject(new Error("too slow"));
    failed.catch(() => {});
    const { pool, book, bucket, ask, closed, answerLate } = await poolOf([failed]);
    await expect(pool.acquire(ask)).rejects.toThrow("too slow");
    book.restart({ incarnation: "two", revision: 1 });
    answerLate({ ...granted, leases: [{ ...granted.leases[0]!, id: "late" }] });
    expect(bucket.left(systemClock.now())).toBe(0);
    expect(closed).toEqual([{ id: "late" }]);
  });

  it("waits at its end for what it asked for, to give it back", async () => {
    const late = Promise.withResolvers<AcquireReply>();
    const lateLease = { ...granted.leases[0]!, id: "late" };
    const { pool, ask, closed } = await poolOf([late.promise]);
    const asked = pool.acquire(ask);
    const drained = pool.drain();
    await new Promise((resolve) => setImmediate(resolve));
    late.resolve({ ...granted, leases: [lateLease] });
    await Promise.all([asked, drained]);
    expect(closed).toEqual([{ id: "lease_1" }, { id: "late" }]);
    await expect(pool.acquire(ask)).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });
});
