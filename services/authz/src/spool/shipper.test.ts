import { readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Failure } from "@gatehouse/service/failure";
import { expect, onTestFinished, test } from "vitest";
import { KEPT_MAX_AGE_MS } from "./backlog.ts";
import { Shipper } from "./shipper.ts";
import type { Spool } from "./spool.ts";
import { FakeMetering } from "./testing/fake-metering.ts";
import {
  errorLog,
  filesAtDeath,
  openSpool,
  seriesIn,
  silent,
  temporaryDirectory,
  totalsOf,
  written,
} from "./testing/fixture.ts";

const NAME = "7/key_1/acc_1/requests//VALID";
const LONG_MS = 5000;

function startShipper(spool: Spool, metering: FakeMetering, log = silent): Shipper {
  const shipper = new Shipper({ spool, register: metering.register, send: metering.send, log });
  shipper.start();
  onTestFinished(async () => void (await shipper.stop(0)));
  return shipper;
}

async function batch(spool: Spool, units: number): Promise<void> {
  spool.charge(seriesIn(spool), 7, units);
  await spool.seal();
}

function unitsTaken(metering: FakeMetering): number | undefined {
  return totalsOf(metering.payloads()).usage[NAME];
}

async function until(condition: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + LONG_MS;
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error("not in time");
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** A spool that ended with a batch for each of the units. */
async function leftIn(directory: string, ...units: readonly number[]): Promise<Spool> {
  const old = await openSpool({ directory });
  for (const each of units) await batch(old, each);
  await old.stop();
  return old;
}

test("ships each epoch in order, registered first, and keeps what was acknowledged", async () => {
  const directory = temporaryDirectory();
  const metering = new FakeMetering();
  const old = await leftIn(directory, 1, 10);
  const spool = await openSpool({ directory });
  const shipper = startShipper(spool, metering);
  await batch(spool, 100);
  expect(await shipper.drain(LONG_MS)).toBe(true);
  expect(unitsTaken(metering)).toBe(111);
  // The last one says that the epoch has ended.
  expect(metering.taken.get(old.epoch)!.map(({ sequence }) => sequence)).toEqual([1, 2, 3]);
  expect(metering.calls.filter((call) => call.startsWith("register")).length).toBe(2);
  expect(readdirSync(join(directory, `epoch-${old.epoch}`, "kept"))).toEqual([
    "0000000001.batch",
    "0000000002.batch",
    "0000000003.batch",
  ]);
  expect([shipper.pendingBatches, shipper.pendingBytes, shipper.oldestAgeMs]).toEqual([0, 0, 0]);
});

test("a recall is shipped within milliseconds of its seal", async () => {
  const metering = new FakeMetering();
  const spool = await openSpool({ directory: temporaryDirectory() });
  const shipper = startShipper(spool, metering);
  await batch(spool, 1);
  await shipper.drain(LONG_MS);
  const lease = spool.lease("lea_1");
  spool.close(lease);
  const startMs = performance.now();
  await spool.seal();
  shipper.kick();
  await until(() => shipper.pendingBatches === 0);
  expect(performance.now() - startMs).toBeLessThan(1000);
  expect(totalsOf(metering.payloads()).closed).toEqual(["lea_1"]);
});

test("a batch that was taken before the crash is not counted twice after it", async () => {
  const directory = temporaryDirectory();
  const directoryAtDeath = temporaryDirectory();
  const metering = new FakeMetering();
  const dead = await openSpool({ directory });
  const send: typeof metering.send = async (one) => {
    const answer = await metering.send(one);
    filesAtDeath(directory, directoryAtDeath);
    return answer;
  };
  const shipperAtDeath = new Shipper({ spool: dead, register: metering.register, send, log: silent });
  shipperAtDeath.start();
  await batch(dead, 5);
  await shipperAtDeath.stop(LONG_MS);

  metering.calls.length = 0;
  const next = await openSpool({ directory: directoryAtDeath });
  const shipper = startShipper(next, metering);
  expect(shipper.pendingBatches).toBe(2); // with the one that says that the epoch has ended
  await batch(next, 7);
  expect(await shipper.drain(LONG_MS)).toBe(true);
  expect(unitsTaken(metering)).toBe(12);
  expect(metering.calls).not.toContain(`send ${dead.epoch}/1`);
});

test("lost answers and outages delay batches and lose none", async () => {
  const metering = new FakeMetering();
  const spool = await openSpool({ directory: temporaryDirectory(), sync: "off" });
  const shipper = startShipper(spool, metering);
  metering.failure = new Error("ECONNREFUSED");
  await batch(spool, 1);
  await batch(spool, 10);
  expect(await shipper.drain(20)).toBe(false);
  expect(shipper.pendingBatches).toBe(2);
  expect(shipper.pendingBytes).toBeGreaterThan(0);
  metering.failure = undefined;
  metering.losesAnswers = true;
  await until(() => metering.batches(spool.epoch).length > 0);
  metering.losesAnswers = false;
  expect(await shipper.drain(LONG_MS)).toBe(true);
  expect(unitsTaken(metering)).toBe(11);
});

test("a call that never answers does not keep the shipper from stopping", async () => {
  const spool = await openSpool({ directory: temporaryDirectory(), sync: "off" });
  const register = () => new Promise<never>(() => {});
  const shipper = new Shipper({ spool, register, send: register, log: silent });
  shipper.start();
  await batch(spool, 1);
  expect(await shipper.stop(10)).toBe(false);
});

test("another batch under the same number raises an alarm, is set aside, and the rest goes on", async () => {
  const directory = temporaryDirectory();
  const metering = new FakeMetering();
  const log = errorLog();
  const old = await leftIn(directory, 1, 10);
  const epochs = { producer: "authz-1", epoch: old.epoch, sequence: 1, payload: Buffer.alloc(0) };
  const spool = await openSpool({ directory });
  // Metering answers the registration as if the first batch were expected, and then has another one.
  const shipper = new Shipper({
    spool,
    log,
    send: metering.send,
    register: async (request) => {
      const answer = await metering.register(request);
      if (request.epoch === old.epoch && metering.batches(old.epoch).length === 0) {
        metering.batches(old.epoch).push({ ...epochs, digest: Buffer.alloc(32) });
      }
      return answer;
    },
  });
  shipper.start();
  onTestFinished(async () => void (await shipper.stop(0)));
  await batch(spool, 100);
  expect(await shipper.drain(LONG_MS)).toBe(true);
  expect(unitsTaken(metering)).toBe(110);
  expect(log.errors.filter((message) => message.includes("ALARM")).length).toBe(1);
  expect(readdirSync(join(directory, `epoch-${old.epoch}`, "rejected"))).toEqual(["0000000001.batch"]);
});

test("a batch that rotted on the disk is not shipped; its epoch stops at the gap, others go on", async () => {
  const directory = temporaryDirectory();
  const metering = new FakeMetering();
  const log = errorLog();
  const old = await leftIn(directory, 1, 10);
  const path = join(directory, `epoch-${old.epoch}`, "0000000001.batch");
  const bytes = readFileSync(path);
  bytes[bytes.length - 1]! ^= 1;
  writeFileSync(path, bytes);
  const spool = await openSpool({ directory });
  const shipper = startShipper(spool, metering, log);
  await batch(spool, 100);
  expect(await shipper.drain(LONG_MS)).toBe(false);
  expect(unitsTaken(metering)).toBe(100);
  expect(shipper.pendingBatches).toBe(2);
  expect(log.errors.some((message) => message.includes("cannot continue past a gap"))).toBe(true);
});

test("one epoch that metering refuses for another reason holds up no other", async () => {
  const directory = temporaryDirectory();
  const metering = new FakeMetering();
  const old = await leftIn(directory, 1);
  const spool = await openSpool({ directory });
  const refusal = new Failure({ code: "INTERNAL", reason: "INTERNAL", message: "no" });
  const shipper = new Shipper({
    spool,
    log: silent,
    register: metering.register,
    send: async (one) => {
      if (one.epoch === old.epoch) throw refusal;
      return metering.send(one);
    },
  });
  shipper.start();
  onTestFinished(async () => void (await shipper.stop(0)));
  for (let sealed = 0; sealed < 10; sealed++) {
    await batch(spool, 1);
  }
  await until(() => unitsTaken(metering) === 10);
  expect(shipper.pendingBatches).toBe(2);
});

test("a restored metering gets again what it lost, from every epoch", async () => {
  const directory = temporaryDirectory();
  const metering = new FakeMetering();
  const old = await leftIn(directory, 1, 10);
  const spool = await openSpool({ directory });
  const shipper = startShipper(spool, metering);
  await batch(spool, 100);
  await batch(spool, 1000);
  await shipper.drain(LONG_MS);
  metering.taken.get(old.epoch)!.length = 1;
  metering.taken.get(spool.epoch)!.length = 0;
  await batch(spool, 10_000);
  await until(() => unitsTaken(metering) === 11_111);
  expect(await shipper.drain(LONG_MS)).toBe(true);
});

test.each([
  { ageMs: KEPT_MAX_AGE_MS / 2, again: 11 },
  { ageMs: KEPT_MAX_AGE_MS * 2, again: 0 },
])("it gets $again units again from a spool whose kept files are $ageMs ms old", async ({ ageMs, again }) => {
  const directory = temporaryDirectory();
  const metering = new FakeMetering();
  const old = await openSpool({ directory });
  const shipping = startShipper(old, metering);
  await batch(old, 1);
  await batch(old, 10);
  await old.stop(() => shipping.stop(LONG_MS));
  const kept = join(directory, `epoch-${old.epoch}`, "kept");
  expect([unitsTaken(metering), readdirSync(kept).length]).toEqual([11, metering.batches(old.epoch).length]);
  metering.batches(old.epoch).length = 0;
  const at = new Date(Date.now() - ageMs);
  for (const name of readdirSync(kept)) utimesSync(join(kept, name), at, at);
  const spool = await openSpool({ directory });
  await spool.backlog.prune(Date.now());
  const shipper = startShipper(spool, metering);
  await batch(spool, 100);
  await until(() => unitsTaken(metering) === 100 + again);
  // What is gone leaves its epoch stuck before its last batch, and the live one as it is.
  expect(await shipper.drain(LONG_MS)).toBe(again > 0);
});

test("a live epoch that metering knows too much of is an alarm, and nothing is skipped", async () => {
  const metering = new FakeMetering();
  const log = errorLog();
  const spool = await openSpool({ directory: temporaryDirectory() });
  const stranger = { producer: "authz-1", epoch: spool.epoch, sequence: 1, digest: Buffer.alloc(32) };
  metering.batches(spool.epoch).push({ ...stranger, payload: Buffer.alloc(0) });
  const shipper = startShipper(spool, metering, log);
  await batch(spool, 1);
  expect(await shipper.drain(LONG_MS)).toBe(false);
  expect(shipper.pendingBatches).toBe(1);
  expect(log.errors.some((message) => message.includes("another process"))).toBe(true);
});

test("kept batches and finished epochs are deleted after their time", async () => {
  const directory = temporaryDirectory();
  const metering = new FakeMetering();
  const old = await leftIn(directory, 1);
  let nowMs = Date.now();
  const spool = await openSpool({ directory, nowMs: () => nowMs });
  const shipper = startShipper(spool, metering);
  await shipper.drain(LONG_MS);
  nowMs += KEPT_MAX_AGE_MS - 60_000;
  await spool.backlog.prune(nowMs);
  expect(readdirSync(directory)).toContain(`epoch-${old.epoch}`);
  nowMs += 120_000;
  await spool.backlog.prune(nowMs);
  expect(readdirSync(directory)).not.toContain(`epoch-${old.epoch}`);
});

test("an orderly stop leaves nothing behind", async () => {
  const directory = temporaryDirectory();
  const metering = new FakeMetering();
  const spool = await openSpool({ directory });
  const shipper = startShipper(spool, metering);
  spool.charge(seriesIn(spool), 7, 3);
  const isWritten = written(spool);
  await spool.stop(() => shipper.stop(LONG_MS));
  await isWritten;
  expect(unitsTaken(metering)).toBe(3);
});
