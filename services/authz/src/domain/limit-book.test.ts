import { describe, expect, it } from "vitest";
import type { Limit } from "./limit.ts";
import { LimitBook } from "./limit-book.ts";
import type { LocalLease } from "./local-bucket.ts";

const now = { monotonicMs: 0, wallMs: 0 };
const at = (revision: number, incarnation = "one") => ({ incarnation, revision });

function limitOf(id: string, nodeId = "key_1", limit: Partial<Limit> = {}): Limit {
  return { id, nodeId, meter: "requests", pattern: "", kind: "quota", enforcement: "ENFORCE", ...limit };
}

function leaseOf(id: string): LocalLease {
  const deadline = { monotonicMs: 1000, wallMs: 1000 };
  return { id, ref: {}, units: 5, deadline, lifeMs: 1000, left: 5, spends: [], reported: 0 };
}

function setUp(capacity = 100) {
  const book = new LimitBook(capacity);
  book.restart(at(10));
  const change = (...nodeIds: string[]) => {
    const after = book.position()!;
    book.apply(
      after,
      nodeIds.map((nodeId, i) => ({ nodeId, revision: after.revision + 1 + i })),
    );
  };
  const idsOn = (nodeId: string) => book.limitsOf(nodeId)?.buckets.map(({ limit }) => limit.id);
  return { book, change, idsOn };
}

describe("the book of limits", () => {
  it("knows a node's limits once it was told, even that there are none", () => {
    const { book, idsOn } = setUp();
    expect(idsOn("key_1")).toBeUndefined();
    book.fill("key_1", [limitOf("lim_1"), limitOf("lim_2")], at(10));
    book.fill("key_2", [], at(10));
    expect([idsOn("key_1"), idsOn("key_2")]).toEqual([["lim_1", "lim_2"], []]);
  });

  it("drops a fill that was read before its node changed", () => {
    const { book, change, idsOn } = setUp();
    change("key_1");
    expect(book.fill("key_1", [limitOf("lim_old")], at(10))).toBe(false);
    expect([idsOn("key_1"), book.bucket("lim_old")]).toEqual([undefined, undefined]);
    expect(book.fill("key_1", [limitOf("lim_new")], at(11))).toBe(true);
    expect(book.fill("key_2", [limitOf("lim_2", "key_2")], at(10))).toBe(true);
  });

  it("drops a fill that the ring no longer reaches back to", () => {
    const { book, change } = setUp();
    change(...Array.from({ length: 65_536 + 2 }, (_, i) => `key_other_${i}`));
    expect(book.fill("key_1", [limitOf("lim_1")], at(10))).toBe(false);
    expect(book.fill("key_1", [limitOf("lim_1")], book.position()!)).toBe(true);
  });

  it("drops a fill of another incarnation, or from before it began", () => {
    const { book } = setUp();
    expect(new LimitBook(1).fill("key_1", [], at(10))).toBe(false);
    expect(book.fill("key_1", [limitOf("lim_1")], at(99, "two"))).toBe(false);
    expect(book.fill("key_1", [limitOf("lim_1")], at(9))).toBe(false);
  });

  it("forgets a node that changed or was doubted, and remembered refusals with it", () => {
    for (const strike of ["change", "doubt"] as const) {
      const { book, change, idsOn } = setUp();
      book.fill("key_1", [limitOf("lim_1")], at(10));
      const bucket = book.bucket("lim_1")!;
      bucket.refusal = { units: 1, held: 0, untilMs: 1000, remaining: 0, retryAtMs: undefined };
      if (strike === "change") change("key_1");
      else book.doubt(["key_1", "key_nobody"]);
      expect([idsOn("key_1"), bucket.refusal]).toEqual([undefined, undefined]);
    }
  });

  it("keeps a limit's bucket, with its leases, while its node is read again", () => {
    const { book, change } = setUp();
    book.fill("key_1", [limitOf("lim_1")], at(10));
    const bucket = book.bucket("lim_1")!;
    bucket.grant(leaseOf("lease_1"), now);
    change("key_1");
    book.sweep();
    book.fill("key_1", [limitOf("lim_1", "key_1", { enforcement: "WARN" })], at(11));
    expect(book.limitsOf("key_1")?.buckets).toEqual([bucket]);
    expect([bucket.limit.enforcement, bucket.left(now)]).toEqual(["WARN", 5]);
  });

  it("forgets leases and limits when metering's history was replaced", () => {
    const { book, idsOn } = setUp();
    book.fill("key_1", [limitOf("lim_1"), limitOf("lim_2")], at(10));
    book.bucket("lim_1")!.grant(leaseOf("lease_1"), now);
    book.restart(at(3, "two"));
    book.sweep();
    expect(idsOn("key_1")).toBeUndefined();
    expect([book.bucket("lim_1"), book.bucket("lim_2")]).toEqual([undefined, undefined]);
  });

  it("has a part of its own for each node that a share of a limit is kept for, as long as it is", () => {
    const { book, change } = setUp();
    const limit = limitOf("lim_1", "acc_org", { reservedFor: ["acc_a", "acc_b"] });
    book.fill("acc_org", [limit], at(10));
    const [bucket] = book.limitsOf("acc_org")!.buckets;
    const part = bucket!.partFor(["key_1", "acc_a", "acc_org"]);
    expect([part.id, part.limit.id]).toEqual(["lim_1@acc_a", "lim_1"]);
    expect(bucket!.partFor(["key_1", "acc_c", "acc_org"])).toBe(bucket);
    part.grant(leaseOf("lease_1"), now);
    book.sweep();
    expect([book.bucket("lim_1@acc_a"), book.bucket("lim_1@acc_b")?.id]).toEqual([part, "lim_1@acc_b"]);
    part.refusal = { units: 1, held: 0, untilMs: 1000, remaining: 0, retryAtMs: undefined };
    change("acc_org");
    expect(part.refusal).toBeUndefined();

    book.fill("acc_org", [limitOf("lim_1", "acc_org", { reservedFor: ["acc_b"] })], at(11));
    const [again] = book.limitsOf("acc_org")!.buckets;
    expect(again).toBe(bucket);
    expect(again!.partFor(["key_1", "acc_a", "acc_org"])).toBe(bucket);
    book.sweep();
    expect(book.bucket("lim_1@acc_a")).toBe(part);
    part.leases = [];
    book.sweep();
    expect(book.bucket("lim_1@acc_a")).toBeUndefined();
    expect(book.bucket("lim_1@acc_b")).toBeDefined();
  });

  it("forgets buckets that hold nothing and are on no node it knows, however many came", () => {
    const { book, idsOn } = setUp(10);
    for (let i = 0; i < 1000; i++) book.fill(`key_${i}`, [limitOf(`lim_${i}`, `key_${i}`)], at(10));
    book.sweep();
    const left = Array.from({ length: 1000 }, (_, i) => book.bucket(`lim_${i}`) ?? []).flat();
    expect(left).toHaveLength(10);
    for (const { limit } of left) expect(idsOn(limit.nodeId)).toEqual([limit.id]);
  });

  it("lists the buckets that hold leases, as long as they do", () => {
    const { book } = setUp();
    book.fill("key_1", [limitOf("lim_1"), limitOf("lim_2")], at(10));
    const bucket = book.bucket("lim_1")!;
    const lease = leaseOf("lease_1");
    bucket.grant(lease, now);
    book.lent(bucket);
    expect([...book.leased()]).toEqual([bucket]);
    bucket.close(lease, now);
    expect([...book.leased()]).toEqual([]);
  });

  it("forgets a bucket whose limit was deleted", () => {
    const { book, change } = setUp();
    book.fill("key_1", [limitOf("lim_1"), limitOf("lim_2")], at(10));
    change("key_1");
    book.fill("key_1", [limitOf("lim_2")], at(11));
    book.sweep();
    expect([book.bucket("lim_1"), book.bucket("lim_2")?.limit.id]).toEqual([undefined, "lim_2"]);
  });

  it("tells who kept a node's limits when they are no longer these, and not when it is told the same", () => {
    const { book, change } = setUp();
    book.fill("key_1", [limitOf("lim_1")], at(12));
    const kept = book.limitsOf("key_1")!;
    book.fill("key_1", [limitOf("lim_1")], at(12));
    expect([book.limitsOf("key_1") === kept, kept.isCurrent]).toEqual([true, true]);
    change("key_1");
    expect(kept.isCurrent).toBe(false);
  });
});
