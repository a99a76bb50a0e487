import { expect, test, vi } from "vitest";
import { LateDisk } from "./disk-watch.ts";
import type { SyncFile } from "./segment.ts";
import type { Spool } from "./spool.ts";
import {
  errorLog,
  openSpool,
  payloadsOf,
  seriesIn,
  temporaryDirectory,
  totalsOf,
} from "./testing/fixture.ts";

/** Longer than a busy machine takes for what is not hung. */
const SYNC_MS_MAX = 1000;
const patiently = { timeout: 10_000 };

/** A disk whose fsync answers when it is told to. */
class HungDisk {
  isHung = false;
  #asked: ((error: Error | null) => void)[] = [];

  readonly syncFile: SyncFile = (_fd, done) => {
    if (this.isHung) this.#asked.push(done);
    else setImmediate(() => done(null));
  };

  answer(error: Error | null): void {
    this.isHung = false;
    for (const done of this.#asked.splice(0)) done(error);
  }
}

async function open(disk: HungDisk): Promise<Spool> {
  const { syncFile } = disk;
  const options = { sync: "fsync", syncFile, syncMsMax: SYNC_MS_MAX, log: errorLog() } as const;
  return openSpool({ directory: temporaryDirectory(), ...options });
}

/** Charges units; answers what was said of it, in order. */
function charge(spool: Spool, units: number): string[] {
  const said: string[] = [];
  spool.charge(seriesIn(spool, { keyId: `key_${units}` }), 7, units);
  spool.whenWritten((error) => said.push(error === undefined ? "recorded" : `not recorded: ${error.name}`), {
    late: (error) => said.push(`late: ${error.name}`),
  });
  return said;
}

async function unitsOf(spool: Spool): Promise<number[]> {
  await spool.seal();
  return Object.values(totalsOf(await payloadsOf(spool)).usage);
}

test("who waits for a disk that hangs is told so, and calls behind it are refused at once", {
  timeout: 30_000,
}, async () => {
  const disk = new HungDisk();
  const spool = await open(disk);
  const before = charge(spool, 1);
  await vi.waitFor(() => expect(before).toEqual(["recorded"]), patiently);
  disk.isHung = true;
  const hung = charge(spool, 2);
  const sameTurn = charge(spool, 3);
  await vi.waitFor(
    () => expect([hung, sameTurn]).toEqual([["late: LateDisk"], ["late: LateDisk"]]),
    patiently,
  );
  const behind = charge(spool, 4);
  await new Promise((resolve) => setImmediate(resolve));
  expect(behind).toEqual(["not recorded: LateDisk"]);

  disk.answer(null);
  await vi.waitFor(() => expect(hung).toEqual(["late: LateDisk", "recorded"]), patiently);
  const after = charge(spool, 5);
  await vi.waitFor(() => expect(after).toEqual(["recorded"]), patiently);
  expect(await unitsOf(spool)).toEqual([1, 2, 3, 5]);
});

test("what the disk refuses at last is not recorded, and says so", { timeout: 30_000 }, async () => {
  const disk = new HungDisk();
  const spool = await open(disk);
  disk.isHung = true;
  const hung = charge(spool, 2);
  await vi.waitFor(() => expect(hung).toEqual(["late: LateDisk"]), patiently);
  disk.answer(new Error("EIO"));
  await vi.waitFor(() => expect(hung).toEqual(["late: LateDisk", "not recorded: Error"]), patiently);
  // The turn that meets the broken segment was numbered for it.
  const next = charge(spool, 4);
  await vi.waitFor(() => expect(next).toEqual(["not recorded: Error"]), patiently);
  const after = charge(spool, 5);
  await vi.waitFor(() => expect(after).toEqual(["recorded"]), patiently);
  expect(await unitsOf(spool)).toEqual([5]);
});

test("a disk that is merely slow keeps nobody in doubt", { timeout: 30_000 }, async () => {
  const disk = new HungDisk();
  const spool = await open(disk);
  disk.isHung = true;
  const slow = charge(spool, 2);
  await new Promise((resolve) => setImmediate(resolve));
  disk.answer(null);
  await vi.waitFor(() => expect(slow).toEqual(["recorded"]), patiently);
  await new Promise((resolve) => setTimeout(resolve, 2 * SYNC_MS_MAX)); // past the time at which it would be late
  expect(slow).toEqual(["recorded"]);
  expect(new LateDisk().message).not.toContain("/");
});
