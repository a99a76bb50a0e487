import { readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { wholeFrames } from "./frame.ts";
import { openSpool, payloadsOf, seriesIn, temporaryDirectory, totalsOf, written } from "./testing/fixture.ts";

const NAME = "7/key_1/acc_1/requests//VALID";

/** A disk on which the write with each of these numbers, from 1, fails. */
function failingDisk(failing: readonly number[], fail: "throw" | "short") {
  let writes = 0;
  return (fd: number, bytes: Buffer, offset: number, length: number, position: number): number => {
    writes++;
    if (!failing.includes(writes)) {
      return writeSync(fd, bytes, offset, length, position);
    }
    if (fail === "throw") {
      throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
    }
    return writeSync(fd, bytes, offset, length - 3, position);
  };
}

describe.each(["throw", "short"] as const)("a write that fails by a %s", (fail) => {
  test.each(["cache", "fsync"] as const)(
    "records nothing of its turn, and the next turn goes on (%s)",
    async (sync) => {
      const directory = temporaryDirectory();
      const spool = await openSpool({ directory, sync, write: failingDisk([3, 4], fail) });
      const series = seriesIn(spool);
      const lease = spool.lease("lea_1");
      const outcomes: string[] = [];
      for (let turn = 0; turn < 6; turn++) {
        spool.charge(series, 7, 10 ** turn);
        spool.spend(lease, 10 ** turn);
        await written(spool).then(
          () => outcomes.push("recorded"),
          () => outcomes.push("failed"),
        );
      }
      await spool.seal();
      expect(outcomes).toEqual(["recorded", "recorded", "failed", "failed", "recorded", "recorded"]);
      expect(totalsOf(await payloadsOf(spool))).toEqual({
        usage: { [NAME]: 110_011 },
        spent: { lea_1: 110_011 },
        closed: [],
      });
      expect(spool.backlog.epochs.at(-1)!.pending.map(({ sequence }) => sequence)).toEqual([1, 2]);
      expect(spool.failedTurns).toBe(2);
    },
  );

  test("leaves no trace in the file that recovery would count", async () => {
    const directory = temporaryDirectory();
    const spool = await openSpool({ directory, write: failingDisk([2], fail) });
    const series = seriesIn(spool);
    spool.charge(series, 7, 1);
    await written(spool);
    const path = join(directory, `epoch-${spool.epoch}`, "0000000001.segment");
    const before = readFileSync(path);
    spool.charge(series, 7, 1);
    const failed = written(spool);
    // The file is looked at before the seal removes it: this runs in the same turn as the failed write.
    let after: Buffer | undefined;
    spool.whenWritten(() => {
      after = readFileSync(path);
    });
    await expect(failed).rejects.toThrow();
    expect(after).toEqual(before);
    expect([...wholeFrames(before)].length).toBe(1);
  });

  test("does not lose that leases were granted and closed", async () => {
    const directory = temporaryDirectory();
    const spool = await openSpool({ directory, write: failingDisk([1, 2], fail) });
    const closed = spool.lease("lea_closed");
    const held = spool.lease("lea_held");
    spool.granted(closed);
    spool.granted(held);
    await expect(written(spool)).rejects.toThrow();
    spool.close(closed);
    await expect(written(spool)).rejects.toThrow();
    await spool.seal();
    expect(totalsOf(await payloadsOf(spool)).closed).toEqual(["lea_closed"]);
    await spool.stop();
    const next = await openSpool({ directory });
    expect(totalsOf(await payloadsOf(next)).closed).toEqual(["lea_closed", "lea_held"]);
  });
});

test("beyond what may wait for metering, turns fail; nothing that was recorded is lost", async () => {
  const spool = await openSpool({ directory: temporaryDirectory(), sync: "off", maxPendingBytes: 10 });
  const series = seriesIn(spool);
  spool.charge(series, 7, 1);
  await spool.seal();
  spool.charge(series, 7, 1);
  await expect(written(spool)).rejects.toThrow("wait for metering");
  expect(totalsOf(await payloadsOf(spool)).usage).toEqual({ [NAME]: 1 });
  await spool.backlog.epochs[0]!.acknowledge(2, 0);
  spool.charge(series, 7, 1);
  await written(spool);
});

test("after stop, turns fail", async () => {
  const spool = await openSpool({ directory: temporaryDirectory() });
  await spool.stop();
  spool.charge(seriesIn(spool), 7, 1);
  await expect(written(spool)).rejects.toThrow("stopped");
});
