import { readdirSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MAX_UNITS } from "./bounds.ts";
import { MAX_NAME_BYTES } from "./series.ts";
import {
  errorLog,
  openSpool,
  payloadsOf,
  seriesIn,
  temporaryDirectory,
  totalsOf,
  written,
} from "./testing/fixture.ts";

const MINUTE = 29_000_000;

describe.each(["off", "cache", "fsync"] as const)("a spool with sync %s", (sync) => {
  test("turns decisions into a batch that the generated decoder reads", async () => {
    const spool = await openSpool({ directory: temporaryDirectory(), sync });
    const calls = seriesIn(spool);
    const tokens = seriesIn(spool, { meter: "tokens", resource: "wéather.read" });
    const lease = spool.lease("lea_1");
    spool.granted(lease);
    for (let turn = 0; turn < 3; turn++) {
      spool.charge(calls, MINUTE, 1);
      spool.charge(tokens, MINUTE + turn, MAX_UNITS);
      spool.spend(lease, 300);
      await written(spool);
    }
    spool.close(lease);
    await spool.seal();
    expect(totalsOf(await payloadsOf(spool))).toEqual({
      usage: {
        [`${MINUTE}/key_1/acc_1/requests//VALID`]: 3,
        [`${MINUTE}/key_1/acc_1/tokens/wéather.read/VALID`]: MAX_UNITS,
        [`${MINUTE + 1}/key_1/acc_1/tokens/wéather.read/VALID`]: MAX_UNITS,
        [`${MINUTE + 2}/key_1/acc_1/tokens/wéather.read/VALID`]: MAX_UNITS,
      },
      spent: { lea_1: 900 },
      closed: ["lea_1"],
    });
  });

  test("answers everybody of a turn, whoever of them fails", async () => {
    const log = errorLog();
    const spool = await openSpool({ directory: temporaryDirectory(), sync, log });
    const answered: number[] = [];
    for (let call = 0; call < 3; call++) {
      spool.charge(seriesIn(spool, { keyId: `key_${call}` }), MINUTE, 1);
      spool.whenWritten(() => {
        answered.push(call);
        if (call === 1) throw new Error("a reply that cannot be built");
      });
    }
    await written(spool);
    expect(answered).toEqual([0, 1, 2]);
    expect(log.errors).toEqual(["who waited for a turn of the spool failed by a fault"]);
  });

  test("numbers its batches from 1 without a gap, and seals nothing where there is nothing", async () => {
    const spool = await openSpool({ directory: temporaryDirectory(), sync });
    const series = seriesIn(spool);
    for (let batch = 0; batch < 4; batch++) {
      spool.charge(series, MINUTE, 1);
      await spool.seal();
      await spool.seal();
    }
    expect(spool.backlog.epochs.at(-1)!.pending.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4]);
  });

  test("loses no unit of any mix of decisions, turns and seals", async () => {
    const decision = fc.record({
      series: fc.integer({ min: 0, max: 4 }),
      minute: fc.integer({ min: 0, max: 2 }),
      units: fc.integer({ min: 0, max: MAX_UNITS }),
      lease: fc.integer({ min: 0, max: 3 }),
      after: fc.constantFrom("nothing", "turn", "seal"),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(decision, { maxLength: 40 }), async (decisions) => {
        const directory = temporaryDirectory();
        const spool = await openSpool({ directory, sync });
        const leases = [0, 1, 2, 3].map((index) => spool.lease(`lea_${index}`));
        const usage: Record<string, number> = {};
        const spent: Record<string, number> = {};
        for (const { series, minute, units, lease, after } of decisions) {
          spool.charge(
            seriesIn(spool, { keyId: `key_${series}`, accountId: "acc", resource: "r" }),
            minute,
            units,
          );
          spool.spend(leases[lease]!, units);
          const isWritten = written(spool);
          if (units > 0) {
            const name = `${minute}/key_${series}/acc/requests/r/VALID`;
            usage[name] = (usage[name] ?? 0) + units;
            spent[`lea_${lease}`] = (spent[`lea_${lease}`] ?? 0) + units;
          }
          if (after === "turn") await isWritten;
          if (after === "seal") await spool.seal();
        }
        await spool.seal();
        expect(totalsOf(await payloadsOf(spool))).toEqual({ usage, spent, closed: [] });
        await spool.stop();
      }),
      { numRuns: sync === "fsync" ? 15 : 40 },
    );
  });
});

test("callbacks run after their turn's one write, and not before", async () => {
  let writes = 0;
  const { writeSync } = await import("node:fs");
  const write = (...frame: Parameters<typeof writeSync>) => {
    writes++;
    return writeSync(...frame);
  };
  const spool = await openSpool({ directory: temporaryDirectory(), write: write as never });
  const series = seriesIn(spool);
  const seen: number[] = [];
  for (let decision = 0; decision < 50; decision++) {
    spool.charge(series, MINUTE, 1);
    spool.whenWritten(() => seen.push(writes));
  }
  await Promise.resolve();
  expect(seen).toEqual([]);
  await written(spool);
  expect(seen).toEqual(Array(50).fill(1));
});

test("denials cost no write and join the next batch, each in its minute", async () => {
  let nowMs = 60_000 * MINUTE;
  const directory = temporaryDirectory();
  const spool = await openSpool({ directory, nowMs: () => nowMs });
  const denied = seriesIn(spool, { outcome: "SCOPE_DENIED" });
  spool.denied(denied);
  spool.denied(denied);
  await new Promise((resolve) => setImmediate(resolve));
  expect(readdirSync(join(directory, `epoch-${spool.epoch}`)).filter((name) => /^\d/.test(name))).toEqual([]);
  nowMs += 60_000;
  spool.denied(denied);
  await spool.seal();
  expect(totalsOf(await payloadsOf(spool)).usage).toEqual({
    [`${MINUTE}/key_1/acc_1/requests//SCOPE_DENIED`]: 2,
    [`${MINUTE + 1}/key_1/acc_1/requests//SCOPE_DENIED`]: 1,
  });
});

test("a series that the table forgot and one made anew are one row", async () => {
  const spool = await openSpool({ directory: temporaryDirectory() });
  const first = seriesIn(spool);
  for (let index = 0; index < 40_000; index++) {
    seriesIn(spool, { keyId: `other_${index}` });
  }
  const second = seriesIn(spool);
  expect(second).not.toBe(first);
  spool.charge(first, MINUTE, 1);
  spool.charge(second, MINUTE, 2);
  await spool.seal();
  const [payload] = await payloadsOf(spool);
  expect(totalsOf([payload!]).usage).toEqual({ [`${MINUTE}/key_1/acc_1/requests//VALID`]: 3 });
  expect(payload!.toString("latin1").split("key_1").length).toBe(2);
});

test("one turn of the longest names in new minutes stays below what metering takes", async () => {
  const spool = await openSpool({ directory: temporaryDirectory() });
  const long = "x".repeat(MAX_NAME_BYTES - 4);
  const names = { accountId: long, meter: long, resource: long };
  const all = Array.from({ length: 20 }, (_, index) =>
    seriesIn(spool, { ...names, keyId: `${index}`, outcome: long }),
  );
  let units = 0;
  for (let decision = 0; decision < 2000; decision++) {
    spool.charge(all[decision % 20]!, decision, 1);
    spool.denied(seriesIn(spool, { ...names, keyId: `${decision}`, outcome: "SCOPE_DENIED" }));
    spool.whenWritten((error) => {
      expect(error).toBeUndefined();
      units++;
    });
  }
  for (let lease = 0; lease < 20_000; lease++) {
    spool.close(spool.lease(`lea_${lease}_${"y".repeat(100)}`));
  }
  await spool.seal();
  expect(units).toBe(2000);
  const payloads = await payloadsOf(spool);
  expect(payloads.length).toBeGreaterThan(4);
  expect(Math.max(...payloads.map(({ length }) => length))).toBeLessThan(4 * 1024 * 1024);
  const totals = totalsOf(payloads);
  expect(Object.values(totals.usage).reduce((sum, one) => sum + one, 0)).toBe(4000);
  expect(totals.closed.length).toBe(20_000);
});

test("a segment that reaches its size is sealed without being told", async () => {
  const spool = await openSpool({ directory: temporaryDirectory(), maxSegmentBytes: 100 });
  const series = seriesIn(spool);
  for (let turn = 0; turn < 30; turn++) {
    spool.charge(series, MINUTE, 1);
    await written(spool);
  }
  await spool.seal();
  expect(spool.backlog.pendingBatches).toBeGreaterThan(5);
  const totals = totalsOf(await payloadsOf(spool));
  expect(totals.usage).toEqual({ [`${MINUTE}/key_1/acc_1/requests//VALID`]: 30 });
});

test("what cannot be counted is refused where it is made", async () => {
  const spool = await openSpool({ directory: temporaryDirectory() });
  const series = seriesIn(spool);
  expect(() => spool.charge(series, MINUTE, -1)).toThrow(RangeError);
  expect(() => spool.charge(series, MINUTE, 0.5)).toThrow(RangeError);
  expect(() => spool.charge(series, MINUTE, MAX_UNITS + 1)).toThrow(RangeError);
  expect(() => spool.charge(series, Number.NaN, 1)).toThrow(RangeError);
  expect(() => spool.spend(spool.lease("lea_1"), Number.NaN)).toThrow(RangeError);
  expect(() => seriesIn(spool, { resource: "é".repeat(MAX_NAME_BYTES) })).toThrow(RangeError);
});
