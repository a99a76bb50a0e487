import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { KEPT_MAX_AGE_MS } from "./backlog.ts";
import { wholeFrames } from "./frame.ts";
import { aggregateOf, recoverEpoch } from "./recover.ts";
import type { Spool } from "./spool.ts";
import {
  filesAtDeath,
  finalOf,
  openSpool,
  payloadsOf,
  seriesIn,
  temporaryDirectory,
  totalsOf,
  totalsOfAggregate,
  written,
} from "./testing/fixture.ts";

const SEGMENT = "0000000001.segment";

async function decide(spool: Spool, units: number, leaseIds: readonly string[] = []): Promise<void> {
  spool.charge(seriesIn(spool, { keyId: `key_${units}` }), 7, units);
  for (const leaseId of leaseIds) {
    spool.spend(spool.lease(leaseId), units);
  }
  await written(spool);
}

test("a torn tail is cut off at whatever byte, and whole frames are counted in full", async () => {
  const directory = temporaryDirectory();
  const spool = await openSpool({ directory });
  for (let units = 1; units <= 4; units++) {
    await decide(spool, units);
  }
  const bytes = readFileSync(join(directory, `epoch-${spool.epoch}`, SEGMENT));
  const payloads = [...wholeFrames(bytes)];
  expect(payloads.length).toBe(4);
  const lastStart = bytes.length - payloads.at(-1)!.length - 8;
  const whole = totalsOfAggregate(aggregateOf(payloads.slice(0, 3)));
  for (let length = lastStart; length <= bytes.length; length++) {
    const torn = temporaryDirectory();
    mkdirSync(join(torn, "epoch-1"));
    writeFileSync(join(torn, "epoch-1", SEGMENT), bytes.subarray(0, length));
    const epoch = await recoverEpoch({ directory: torn, number: 1, isDurable: false, nowMs: 0 });
    const recovered = totalsOf([(await epoch.read(1))!.payload]);
    expect(recovered).toEqual(length === bytes.length ? totalsOfAggregate(aggregateOf(payloads)) : whole);
    expect(existsSync(join(torn, "epoch-1", SEGMENT))).toBe(false);
  }
});

test("a frame with any bit flipped counts as never written", async () => {
  const directory = temporaryDirectory();
  const spool = await openSpool({ directory });
  await decide(spool, 1);
  await decide(spool, 2);
  const bytes = readFileSync(join(directory, `epoch-${spool.epoch}`, SEGMENT));
  const first = [...wholeFrames(bytes)][0]!;
  for (let at = first.length + 8; at < bytes.length; at++) {
    const flipped = Buffer.from(bytes);
    flipped[at]! ^= 1;
    expect([...wholeFrames(flipped)]).toEqual([first]);
  }
  expect([...wholeFrames(Buffer.alloc(64))]).toEqual([]);
});

test("the next process seals what the dead one left and closes every lease it held", async () => {
  const directory = temporaryDirectory();
  const dead = await openSpool({ directory });
  const [idle, used, closed] = ["lea_idle", "lea_used", "lea_closed"].map((leaseId) => dead.lease(leaseId));
  dead.granted(idle!);
  dead.granted(used!);
  dead.granted(closed!);
  await decide(dead, 1, ["lea_used"]);
  await dead.seal();
  // Both batches are taken and deleted: only the log of leases still knows of lea_idle.
  dead.close(closed!);
  await dead.seal();
  await dead.backlog.epochs[0]!.acknowledge(3, 0);
  await dead.backlog.prune(KEPT_MAX_AGE_MS + 1);
  await decide(dead, 2, ["lea_used", "lea_never_granted"]);

  const copy = temporaryDirectory();
  filesAtDeath(directory, copy);
  const next = await openSpool({ directory: copy });
  expect(next.epoch).toBe(dead.epoch + 1);
  const [epoch] = next.backlog.epochs;
  expect(epoch!.pending.map(({ sequence }) => sequence)).toEqual([3, 4]);
  const totals = totalsOf(await payloadsOf(next));
  expect(totals.usage).toEqual({ "7/key_2/acc_1/requests//VALID": 2 });
  expect(totals.spent).toEqual({ lea_used: 2, lea_never_granted: 2, lea_idle: 0 });
  expect(totals.closed.sort()).toEqual(["lea_idle", "lea_never_granted", "lea_used"]);
  expect(await finalOf(epoch!)).toEqual([4]);
});

test("an epoch that recorded nothing is said to have ended, once: it may have been lent what it never heard of", async () => {
  const directory = temporaryDirectory();
  mkdirSync(join(directory, "epoch-7"));
  for (const start of ["first", "second"]) {
    const epoch = await recoverEpoch({ directory, number: 7, isDurable: false, nowMs: 0 });
    expect(epoch.lastSequence, start).toBe(1);
    expect(await finalOf(epoch)).toEqual([1]);
    await epoch.acknowledge(2, 0);
  }
});

test("recovery that dies anywhere is taken up again, to the same sum", async () => {
  const directory = temporaryDirectory();
  const dead = await openSpool({ directory });
  dead.granted(dead.lease("lea_1"));
  await decide(dead, 5, ["lea_1"]);
  const left = join(directory, `epoch-${dead.epoch}`);
  const segment = readFileSync(join(left, SEGMENT));
  const recovered = temporaryDirectory();
  cpSync(left, join(recovered, "epoch-1"), { recursive: true });
  const epoch = await recoverEpoch({ directory: recovered, number: 1, isDurable: false, nowMs: 0 });
  const expected = totalsOf([(await epoch.read(1))!.payload, (await epoch.read(2))!.payload]);
  const file = (name: string) => join(recovered, "epoch-1", name);
  const again = async () => {
    const twice = await recoverEpoch({ directory: recovered, number: 1, isDurable: false, nowMs: 0 });
    expect(twice.pending.map(({ sequence }) => sequence)).toEqual([1, 2]);
    expect(totalsOf([(await twice.read(1))!.payload, (await twice.read(2))!.payload])).toEqual(expected);
    expect(await finalOf(twice)).toEqual([2]);
  };

  await again();
  writeFileSync(file(SEGMENT), segment); // batch 1 there, its segment not yet removed
  await again();
  const log = readFileSync(file("leases.log"));
  const [line] = wholeFrames(log);
  rmSync(file("0000000002.batch")); // closes not yet sealed, nor in the log
  writeFileSync(file("leases.log"), log.subarray(0, line!.length + 8 + 5));
  await again();
  rmSync(file("0000000002.batch")); // nor batch 1
  rmSync(file("0000000001.batch"));
  writeFileSync(file(SEGMENT), segment);
  writeFileSync(file("leases.log"), log.subarray(0, line!.length + 8));
  await again();
  expect(readdirSync(join(recovered, "epoch-1")).filter((name) => name.endsWith(".segment"))).toEqual([]);
});

test("epochs that metering has all of disappear, and their numbers never come back", async () => {
  const directory = temporaryDirectory();
  const epochs: number[] = [];
  for (let start = 0; start < 3; start++) {
    const spool = await openSpool({ directory });
    epochs.push(spool.epoch);
    for (const epoch of spool.backlog.epochs.filter(({ isLive }) => !isLive)) {
      await epoch.acknowledge(epoch.lastSequence + 1, 0);
    }
    await spool.backlog.prune(Date.now());
    await spool.stop();
  }
  expect(epochs).toEqual([epochs[0], epochs[0]! + 1, epochs[0]! + 2]);
  expect(readdirSync(directory).filter((name) => name.startsWith("epoch-"))).toEqual([`epoch-${epochs[2]}`]);
});

describe.each(["cache", "fsync"] as const)("kill -9 with sync %s", (sync) => {
  test("every decision that was answered is in the batches", { timeout: 60_000 }, async () => {
    const directory = temporaryDirectory();
    const script = join(import.meta.dirname, "testing", "crash-writer.ts");
    const answered: number[] = [];
    for (const decisions of [10, 1500]) {
      const child = spawn(process.execPath, [script, directory, sync], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      let output = "";
      for await (const chunk of child.stdout) {
        output += chunk;
        if (Number(output.split("\n").at(-2)) >= decisions) {
          child.kill("SIGKILL");
        }
      }
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
      expect(child.signalCode).toBe("SIGKILL");
      answered.push(Number(output.split("\n").at(-2)));
    }
    const spool = await openSpool({ directory });
    expect(spool.backlog.epochs.length).toBe(3);
    for (const [index, epoch] of spool.backlog.epochs.slice(0, 2).entries()) {
      expect(epoch.pending.map(({ sequence }) => sequence)).toEqual(epoch.pending.map((_, at) => at + 1));
      const batches = await Promise.all(epoch.pending.map(({ sequence }) => epoch.read(sequence)));
      const totals = totalsOf(batches.map((batch) => batch!.payload));
      const units = totals.usage["100/key_1/acc_1/requests/weather.read/VALID"]!;
      // One turn of 5 may have been written whose answer was lost.
      expect(units - answered[index]!).toBeGreaterThanOrEqual(0);
      expect(units - answered[index]!).toBeLessThanOrEqual(5);
      expect(totals.spent).toEqual({ lea_0: units, lea_1: units, lea_2: units });
      expect(totals.closed).toEqual(["lea_0", "lea_1", "lea_2"]);
    }
  });
});
