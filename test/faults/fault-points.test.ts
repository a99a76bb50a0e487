import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Window } from "@gatehouse/proto/metering";
import { afterAll, expect, test } from "vitest";
import { timely } from "../system/caller.ts";
import { measured } from "../system/measured.ts";
import { makeOrganization, type Organization } from "../system/organization.ts";
import type { ServiceProcess } from "../system/service-process.ts";
import { until } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";
import { ask } from "../system/verifying.ts";
import { arrivedUsage, bucketOf, settledBucket, sum, usageBelow } from "./books.ts";
import { type Fault, MARK } from "./fault.ts";

/**
 * P3 at every step that a call's units take: frame, seal, name, ship, the statements of the batch's transaction, its
 * commit, the acknowledgement; and at every step of the recovery after it. Each process is killed by itself when it
 * comes to the step, so which units are recorded by then is known to the unit.
 */

const UNITS = 10_000_000n;
const CALLS = 4;

const directory = mkdtempSync(join(tmpdir(), "gatehouse-faults-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const faultFile = (name: string) => join(directory, name);
const NAMES = ["authz-0", "authz-1", "metering"];
for (const name of NAMES) writeFileSync(faultFile(name), "");

const system = useSystem({
  replicas: [0, 1].map((i) => ({
    main: join(import.meta.dirname, "faulty-authz.ts"),
    environment: { FAULT_FILE: faultFile(`authz-${i}`) },
  })),
  metering: {
    main: join(import.meta.dirname, "faulty-metering.ts"),
    environment: { FAULT_FILE: faultFile("metering") },
  },
});

type Way = readonly [step: string, when: Fault["when"]];

/** In the order that they come in; each of a process of its own that a call was marked in. */
const liveDeaths: readonly Way[] = [
  ["append a frame", "before"],
  ["append a frame", "within"],
  ["append a frame", "after"],
  ["note leases", "before"],
  ["note leases", "within"],
  ["note leases", "after"],
  ["write a batch", "before"],
  ["write a batch", "within"],
  ["name a batch", "before"],
  ["name a batch", "after"],
  ["remove a segment", "before"],
  ["remove a segment", "after"],
  ["keep a batch", "before"],
  ["keep a batch", "after"],
];

/** What one recovery after another is killed at, each taking up what the one before it left. */
const recoveryDeaths: readonly Way[] = [
  ["note leases", "before"],
  ["note leases", "within"],
  ["note leases", "after"],
  ["write a batch", "before"],
  ["write a batch", "within"],
  ["name a batch", "before"],
  ["name a batch", "after"],
  ["remove a segment", "before"],
  ["remove a segment", "after"],
  // Its segment was sealed by now: what follows is of the one that ends the epoch.
  ["append a frame", "before"],
  ["append a frame", "within"],
  ["append a frame", "after"],
  ["name a batch", "after"],
  ["begin an epoch", "before"],
  ["begin an epoch", "after"],
];

const diskFaults = [
  "append a frame",
  "note leases",
  "write a batch",
  "name a batch",
  "remove a segment",
  "keep a batch",
];

const meteringDeaths: readonly Way[] = [
  ["lock the epoch", "before"],
  ["book leases", "before"],
  ["book draws", "before"],
  ["book usage", "before"],
  ["note the batch", "before"],
  ["expect the next", "before"],
  ["commit", "before"],
  ["commit", "within"],
  ["commit", "after"],
];

async function organizationWithQuotas(name: string): Promise<Organization> {
  const made = await makeOrganization(system(), name, ["one", "other"]);
  const allowance = { case: "quota", value: { units: UNITS, window: Window.NEVER } } as const;
  for (const { id } of [made, ...made.subaccounts]) {
    await system().root.limits.setLimit({ node: { case: "account", value: id }, allowance }, timely);
  }
  return made;
}

function setFault(name: string, fault?: Fault): void {
  writeFileSync(faultFile(name), fault === undefined ? "" : JSON.stringify(fault));
}

/** Calls of one key at one replica, one after the other, and what of them is to be in the books. */
class Charging {
  charged = 0;
  readonly #key: string;
  readonly #replica: number;

  constructor(key: string, replica: number) {
    this.#key = key;
    this.#replica = replica;
  }

  async admit(units: number): Promise<void> {
    await until(`${units} units are admitted`, async () => {
      const { code } = await this.#ask(units);
      if (code === "LOST") throw new Error("an answer was lost that nothing was to happen to");
      return code === "VALID";
    });
    this.charged += units;
  }

  async tryOnce(units: number): Promise<void> {
    const { code } = await this.#ask(units);
    expect(["VALID", "INDETERMINATE"]).toContain(code);
    if (code === "VALID") this.charged += units;
  }

  /** `isRecorded`: whether what happens to the call comes after its units were written. */
  async mark(isRecorded: boolean): Promise<string> {
    const { code } = await this.#ask(MARK);
    if (isRecorded) this.charged += MARK;
    return code;
  }

  #ask(units: number) {
    const charges = [{ meter: "requests", units: BigInt(units) }];
    return ask(system().root, this.#replica, { key: this.#key, charges }, 20_000);
  }
}

async function dieAtStart(process: ServiceProcess, name: string, [step, when]: Way): Promise<void> {
  setFault(name, { step, when, from: "start" });
  const started = await process.start().then(
    () => "started",
    () => "ended",
  );
  setFault(name);
  expect(`${when} "${step}": ${started}`).toBe(`${when} "${step}": ended`);
}

/** All that was charged is used on each level, and nothing is lent once every replica has been started again. */
async function expectBooks(made: Organization, charged: readonly number[]): Promise<void> {
  await Promise.all(
    system().replicas.map(async ({ process }) => {
      await process.stop();
      await process.start();
    }),
  );
  const all = sum(charged);
  const usage = await arrivedUsage(made.master, made.id, all);
  expect(made.subaccounts.map(({ id }) => usage.get(id) ?? 0)).toEqual(charged);
  for (const [i, id] of [made.id, ...made.subaccounts.map((each) => each.id)].entries()) {
    const used = i === 0 ? all : charged[i - 1]!;
    const bucket = await settledBucket(system().root, id);
    expect(bucket).toEqual({ used, leased: 0, remaining: Number(UNITS) - used });
  }
}

test("a replica killed at any step of its spool, and at any of the recovery, has every unit booked once", {
  timeout: 400_000,
}, async () => {
  const made = await organizationWithQuotas("Killed at each step");
  const chargings = made.subaccounts.map(({ key }, i) => new Charging(key.secret, i));
  const startedMs = performance.now();

  const live = async (i: number, ways: readonly Way[]) => {
    const { process } = system().replicas[i]!;
    for (const [step, when] of ways) {
      for (let units = 1; units <= CALLS; units++) await chargings[i]!.admit(units);
      setFault(`authz-${i}`, { step, when, from: "mark" });
      const isFrame = step === "append a frame";
      const code = await chargings[i]!.mark(!isFrame || when === "after");
      if (isFrame) expect(code).toBe("LOST");
      await process.ended();
      setFault(`authz-${i}`);
      await process.start();
    }
  };
  const recovering = async (i: number, ways: readonly Way[]) => {
    const { process } = system().replicas[i]!;
    await chargings[i]!.admit(1);
    setFault(`authz-${i}`, { step: "append a frame", when: "after", from: "mark" });
    expect(await chargings[i]!.mark(true)).toBe("LOST");
    await process.ended();
    for (const way of ways) await dieAtStart(process, `authz-${i}`, way);
    await process.start();
  };
  await Promise.all([live(0, liveDeaths), recovering(1, recoveryDeaths)]);
  for (const charging of chargings) await charging.admit(1);
  await expectBooks(
    made,
    chargings.map(({ charged }) => charged),
  );
  measured("killed at each step of the spool", {
    deaths: liveDeaths.length + recoveryDeaths.length + 1,
    units: sum(chargings.map(({ charged }) => charged)),
    "for ms": performance.now() - startedMs,
  });
});

test("a disk that is full at any step of the spool costs the calls of that step, and no unit", async () => {
  const made = await organizationWithQuotas("Full at each step");
  const chargings = made.subaccounts.map(({ key }, i) => new Charging(key.secret, i));
  const [charging] = chargings;
  for (const step of diskFaults) {
    await charging!.admit(1);
    setFault("authz-0", { step, when: "fails", from: "mark" });
    const isFrame = step === "append a frame";
    expect(await charging!.mark(!isFrame)).toBe(isFrame ? "INDETERMINATE" : "VALID");
    await arrivedUsage(made.master, made.id, charging!.charged);
  }
  setFault("authz-0");
  await expectBooks(
    made,
    chargings.map(({ charged }) => charged),
  );
});

test("metering killed at any step of a batch's transaction, its commit and its answer books it once", {
  timeout: 400_000,
}, async () => {
  const made = await organizationWithQuotas("Metering killed at each step");
  const chargings = made.subaccounts.map(({ key }, i) => new Charging(key.secret, i));
  const { metering } = system();
  const startedMs = performance.now();
  for (const [step, when] of meteringDeaths) {
    for (const charging of chargings) await charging.admit(3);
    setFault("metering", { step, when, from: "start" });
    await metering.kill();
    // What waits in the spools meets it as it starts, maybe before it is seen to be ready; if nothing waits, this does.
    const isReady = await metering.start().then(
      () => true,
      () => false,
    );
    if (isReady) await chargings[0]!.tryOnce(1);
    await metering.ended();
    setFault("metering");
    await metering.start();
  }
  for (const charging of chargings) await charging.admit(1);
  await expectBooks(
    made,
    chargings.map(({ charged }) => charged),
  );
  measured("metering killed at each step of a batch", {
    deaths: meteringDeaths.length,
    units: sum(chargings.map(({ charged }) => charged)),
    "for ms": performance.now() - startedMs,
  });
});

test("a batch that is booked and not noted in one transaction is booked twice, and the books show it", async () => {
  const made = await organizationWithQuotas("Booked and not noted");
  const charging = new Charging(made.subaccounts[0]!.key.secret, 0);
  const { metering } = system();
  await charging.admit(7);
  setFault("metering", { step: "commit", when: "after", from: "start", forgets: true });
  await metering.kill();
  const isReady = await metering.start().then(
    () => true,
    () => false,
  );
  if (isReady) await charging.tryOnce(1);
  await metering.ended();
  setFault("metering");
  await metering.start();
  await until("more is booked than was charged", async () => {
    const usage = sum((await usageBelow(made.master, made.id)).values());
    const { used } = await bucketOf(system().root, made.id);
    return usage > charging.charged && used > charging.charged;
  });
});
