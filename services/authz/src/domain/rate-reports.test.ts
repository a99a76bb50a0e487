import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { RateReport } from "./lease-source.ts";
import { LocalBucket, type LocalLease } from "./local-bucket.ts";
import { RateReports, type Taken } from "./rate-reports.ts";

const moment = (ms: number) => ({ monotonicMs: ms, wallMs: ms });
const limit = {
  id: "lim_1",
  nodeId: "key_1",
  meter: "requests",
  pattern: "",
  kind: "rate" as const,
  enforcement: "ENFORCE" as const,
};

function leaseOf(id: string, units = 1000): LocalLease {
  const deadline = moment(Number.MAX_SAFE_INTEGER);
  return { id, ref: undefined, units, deadline, lifeMs: 2000, left: units, spends: [], reported: 0 };
}

/** metering's side: counts are cumulative, so what of a report it has heard before is skipped. */
class Metering {
  readonly heard = new Map<string, number>();

  hear(reports: readonly RateReport[]): void {
    for (const { leaseId, reported, spends } of reports) {
      const told = spends.reduce((sum, { units }) => sum + units, reported);
      this.heard.set(leaseId, Math.max(this.heard.get(leaseId) ?? 0, told));
    }
  }
}

function setUp() {
  const reports = new RateReports();
  const metering = new Metering();
  const lease = leaseOf("lease_1");
  const bucket = new LocalBucket(limit);
  bucket.grant(lease, moment(0));
  const spend = (units: number, ms = 0) => bucket.spend(units, moment(ms), []);
  const take = (ms = 0) => {
    if (lease.spends.length > 0) reports.note(lease, false);
    return reports.take(moment(ms));
  };
  return { reports, metering, lease, bucket, spend, take, heard: () => metering.heard.get("lease_1") };
}

describe("reports of rate leases", () => {
  it("say what was spent and how long ago, once", () => {
    const { reports, lease, spend, take } = setUp();
    spend(2, 100);
    spend(3, 150);
    const taken = take(200);
    expect(taken.wire).toEqual([
      {
        leaseId: "lease_1",
        reported: 0,
        spends: [
          { units: 2, ageMs: 100 },
          { units: 3, ageMs: 50 },
        ],
        closed: false,
      },
    ]);
    taken.delivered();
    expect([lease.reported, lease.spends, reports.pending]).toEqual([5, [], false]);
    expect(take().wire).toEqual([]);
  });

  it("change nothing when they are sent again because the answer was lost", () => {
    const { metering, spend, take, heard } = setUp();
    spend(5);
    const lost = take();
    metering.hear(lost.wire);
    lost.failed();
    spend(2, 10);
    const again = take();
    metering.hear(again.wire);
    again.delivered();
    expect(heard()).toBe(7);
  });

  it("lose nothing when they never arrived", () => {
    const { metering, spend, take, heard, reports } = setUp();
    spend(5);
    take().failed();
    expect(reports.pending).toBe(true);
    const again = take();
    metering.hear(again.wire);
    expect(heard()).toBe(5);
  });

  it("keep what was spent while one travelled, in the same moment too", () => {
    const { lease, spend, take } = setUp();
    spend(5);
    const taken = take();
    spend(2);
    taken.delivered();
    expect([lease.reported, lease.spends]).toEqual([5, [{ units: 2, sinceMs: 0, atMs: 0 }]]);
  });

  it("count once what two of them, under way at the same time, both say", () => {
    const { metering, lease, spend, take, heard } = setUp();
    spend(5);
    const first = take();
    spend(1, 10);
    const second = take();
    metering.hear(second.wire);
    metering.hear(first.wire);
    second.delivered();
    first.delivered();
    expect([heard(), lease.reported, lease.spends]).toEqual([6, 6, []]);
  });

  it("go on saying that a lease is closed until that was heard", () => {
    const { reports, lease } = setUp();
    reports.note(lease, true);
    reports.take(moment(0)).failed();
    reports.note(lease, false);
    expect(reports.take(moment(0)).wire[0]!.closed).toBe(true);
  });

  it("give back as it came a lease that could not be used", () => {
    const { reports } = setUp();
    reports.noteUnspent("lease_9");
    expect(reports.take(moment(0)).wire).toEqual([
      { leaseId: "lease_9", reported: 0, spends: [], closed: true },
    ]);
  });

  it("travel a thousand at a time, and none is left behind", () => {
    const { reports } = setUp();
    for (let i = 0; i < 2500; i++) reports.noteUnspent(`lease_${i}`);
    const sent = new Set<string>();
    for (const size of [1000, 1000, 500]) {
      const { wire } = reports.take(moment(0));
      expect(wire).toHaveLength(size);
      for (const { leaseId } of wire) sent.add(leaseId);
    }
    expect([sent.size, reports.pending]).toEqual([2500, false]);
  });
});

describe("reports, whatever becomes of them", () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant("spend" as const), n: fc.integer({ min: 1, max: 9 }) }),
    fc.record({ do: fc.constant("undo" as const), n: fc.integer({ min: 1, max: 9 }) }),
    fc.record({ do: fc.constant("take" as const), n: fc.constant(0) }),
    fc.record({
      do: fc.constantFrom("hear" as const, "answer" as const, "lose" as const),
      n: fc.nat({ max: 3 }),
    }),
  );

  function run(steps: readonly { do: string; n: number }[], undo: boolean) {
    const { metering, lease, bucket, spend, take, heard } = setUp();
    const travelling: { readonly taken: Taken; heard: boolean }[] = [];
    let ms = 0;
    let peak = 0;
    for (const { do: what, n } of steps) {
      const i = n % Math.max(travelling.length, 1);
      const one = travelling[i];
      if (what === "spend") spend(Math.min(n, lease.left), ++ms);
      else if (what === "undo") {
        if (undo) bucket.unspend(lease, Math.min(n, lease.units - lease.left));
      } else if (what === "take") travelling.push({ taken: take(ms), heard: false });
      else if (one !== undefined) {
        if (what === "hear" || what === "answer") {
          if (!one.heard) metering.hear(one.taken.wire);
          one.heard = true;
        }
        if (what === "answer") one.taken.delivered();
        if (what === "lose") one.taken.failed();
        if (what !== "hear") travelling.splice(i, 1);
      }
      peak = Math.max(peak, lease.units - lease.left);
    }
    for (const { taken } of travelling) taken.failed();
    const last = take(ms);
    metering.hear(last.wire);
    last.delivered();
    return { spent: lease.units - lease.left, peak, heard: heard() ?? 0 };
  }

  it("tell metering of every unit, once", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const { spent, heard } = run(steps, false);
        expect(heard).toBe(spent);
      }),
    );
  });

  it("never tell of more than was ever spent at once, nor of less than stands, when spends are undone", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const { spent, peak, heard } = run(steps, true);
        expect(heard).toBeGreaterThanOrEqual(spent);
        expect(heard).toBeLessThanOrEqual(peak);
      }),
    );
  });
});
