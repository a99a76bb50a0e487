import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { DecisionCode } from "@gatehouse/proto/authz";
import { GroupBy, Window } from "@gatehouse/proto/metering";
import { beforeAll, expect, test } from "vitest";
import { bucketOf, settledBucket } from "../faults/books.ts";
import { timely } from "../system/caller.ts";
import { measured } from "../system/measured.ts";
import { makeOrganization, type Organization } from "../system/organization.ts";
import { until } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";
import { openTrace } from "./open-trace.ts";
import { isMalformed } from "./trace.ts";

/**
 * A trace replayed over three replicas, one in each mode of the spool, each of which ends in the middle of its part and
 * is started again over its spool: what a power cut of the process does to the two that write, and what an orderly end
 * does to the one that does not.
 */
const MODES = ["cache", "fsync", "off"] as const;
const DEPARTMENTS = ["one", "two", "three", "four", "five"];
const METERS = ["requests", "context", "generated"];
const BATCH = 25;
const HOUR_MS = 3_600_000;
/** The real trace where it is at hand, else as many calls of the same shape as a test has time for. */
const TRACES = process.env.GATEHOUSE_TRACES;
const MADE_CALLS = 3000;

type Units = readonly bigint[];

interface Call {
  readonly department: number;
  readonly units: Units;
}

const system = useSystem({
  replicas: MODES.map((mode) => ({ environment: { GATEHOUSE_SPOOL_SYNC: mode } })),
});
let calls: readonly Call[];

beforeAll(async () => {
  for (const name of METERS.slice(1)) await system().root.meters.createMeter({ name }, timely);
  calls = await readCalls();
});

test("what was answered before each replica ended is booked to the unit, and drawn from the quota", async () => {
  const made = await organization("Quiet");
  await replayOver(made, 1);
  await until("the books agree with the trace", async () => same(await booked(made), expected(made)));
  await pause(1000); // and nothing comes after it
  expect(await booked(made)).toEqual(expected(made));
  // What they hold goes back when they end, and what is drawn is what was spent.
  for (const { process } of system().replicas) await process.stop();
  try {
    expect(await settledBucket(system().root, made.id)).toMatchObject({ used: Number(total(1)), leased: 0 });
  } finally {
    await Promise.all(system().replicas.map(({ process }) => process.start()));
  }
});

test("what was under way when a replica was killed is booked or not, and all else to the unit", async () => {
  const made = await organization("Under way");
  const lost = await replayOver(made, 4);
  const wanted = METERS.map((_, meter) => total(meter));
  const sums = await until("all that was answered is booked", async () => {
    const units = await booked(made);
    const sum = METERS.map((_, meter) => sumOf([...units.values()].map((each) => each[meter]!)));
    return sum.every((booked, meter) => booked >= wanted[meter]!) && sum;
  });
  measured("replicas killed with calls under way", {
    trace: wanted.join(),
    booked: sums.join(),
    lost: lost.join(),
  });
  for (const [meter, sum] of sums.entries()) {
    expect(sum, METERS[meter]!).toBeLessThanOrEqual(wanted[meter]! + lost[meter]!);
  }
  const { used } = await bucketOf(system().root, made.id);
  expect(used).toBeLessThanOrEqual(Number(3n * total(1)));
});

/**
 * Sends every call until it is admitted, `inFlight` batches at a time to each replica, which ends in the middle of its
 * part. Answers the units of batches whose answers were lost: they may have been charged, and were sent again.
 */
async function replayOver(made: Organization, inFlight: number): Promise<Units> {
  const batches = Array.from({ length: Math.ceil(calls.length / BATCH) }, (_, i) =>
    calls.slice(i * BATCH, (i + 1) * BATCH),
  );
  let lost: Units = METERS.map(() => 0n);
  const send = async (replica: number, batch: readonly Call[]) => {
    let open = batch;
    let wasLost = false;
    while (open.length > 0) {
      const requests = open.map(({ department, units }) => ({
        key: made.key.secret,
        account: made.subaccounts[department]!.id,
        charges: units.map((each, meter) => ({ meter: METERS[meter]!, units: each })),
      }));
      try {
        const { responses } = await system().root.authz[replica]!.batchVerify({ requests }, timely);
        const codes = responses.map(({ code }) => code);
        expect(
          codes.every((code) => code === DecisionCode.VALID || code === DecisionCode.INDETERMINATE),
        ).toBe(true);
        open = open.filter((_, i) => codes[i] !== DecisionCode.VALID);
      } catch {
        // Once: of those that it dials in vain while the replica is away none is charged.
        if (!wasLost) for (const { units } of open) lost = lost.map((sum, meter) => sum + units[meter]!);
        wasLost = true;
      }
      if (open.length > 0) await pause(50);
    }
  };
  await Promise.all(
    MODES.map(async (mode, replica) => {
      const own = batches.filter((_, i) => i % MODES.length === replica);
      const middle = Math.floor(own.length / 2);
      let next = 0;
      const lanes = Array.from({ length: inFlight }, async (_, lane) => {
        for (let i = next++; i < own.length; i = next++) {
          // With one lane nothing is under way; with several the others' calls are.
          if (i >= middle && lane === 0 && !ended.has(replica)) {
            ended.add(replica);
            await restart(replica, mode);
          }
          await send(replica, own[i]!);
        }
      });
      await Promise.all(lanes);
    }),
  );
  expect(ended.size).toBe(MODES.length);
  ended.clear();
  return lost;
}

const ended = new Set<number>();

async function restart(replica: number, mode: (typeof MODES)[number]): Promise<void> {
  const { process } = system().replicas[replica]!;
  if (mode === "off") {
    await process.stop();
    await process.start();
  } else {
    await process.restart();
  }
}

/** With a quota that the trace does not use up, so that its units are leased, spent and returned. */
async function organization(name: string): Promise<Organization> {
  const made = await makeOrganization(system(), name, DEPARTMENTS);
  const node = { case: "account", value: made.id } as const;
  const allowance = { case: "quota", value: { units: 3n * total(1), window: Window.NEVER } } as const;
  await system().root.limits.setLimit({ node, meter: "context", allowance }, timely);
  return made;
}

function expected({ subaccounts }: Organization): ReadonlyMap<string, Units> {
  const units = subaccounts.map(({ id }, department) => {
    const own = calls.filter((call) => call.department === department);
    return [id, METERS.map((_, meter) => sumOf(own.map((call) => call.units[meter]!)))] as const;
  });
  return new Map(units);
}

async function booked({ id, subaccounts, master }: Organization): Promise<ReadonlyMap<string, Units>> {
  const byAccount = new Map(subaccounts.map(({ id }) => [id, METERS.map(() => 0n)]));
  const now = Math.floor(Date.now() / 60_000) * 60_000;
  for (const [i, meter] of METERS.entries()) {
    const span = { start: timestampFromMs(now - HOUR_MS), end: timestampFromMs(now + HOUR_MS) };
    const node = { case: "account", value: id } as const;
    const groupBy = [GroupBy.ACCOUNT];
    const { rows } = await master.usage.queryUsage(
      { node, descendants: true, groupBy, meter, ...span },
      timely,
    );
    for (const { accountId, units } of rows) byAccount.get(accountId)![i]! += units;
  }
  return byAccount;
}

function same(a: ReadonlyMap<string, Units>, b: ReadonlyMap<string, Units>): boolean {
  return [...a].every(([id, units]) => units.every((each, meter) => each === b.get(id)![meter]));
}

function total(meter: number): bigint {
  return sumOf(calls.map(({ units }) => units[meter]!));
}

function sumOf(units: readonly bigint[]): bigint {
  return units.reduce((sum, each) => sum + each, 0n);
}

async function readCalls(): Promise<readonly Call[]> {
  const directory = await mkdtemp(join(tmpdir(), "gatehouse-trace-"));
  try {
    const path =
      TRACES === undefined ? join(directory, "made.csv") : join(TRACES, "azure-llm-inference-trace-conv.csv");
    if (TRACES === undefined) await writeFile(path, madeTrace());
    const meters = new Map([
      ["context", "ContextTokens"],
      ["generated", "GeneratedTokens"],
    ]);
    const trace = await openTrace(path, "csv", { time: "TIMESTAMP", meters });
    const read: Call[] = [];
    for await (const { number, parsed } of trace.read()) {
      if (isMalformed(parsed)) throw new Error(`${path}:${number}: ${parsed.problem}`);
      read.push({ department: number % DEPARTMENTS.length, units: [1n, ...parsed.units] });
    }
    return read;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function madeTrace(): string {
  const row = (i: number) => `2023-11-16 18:15:46.6805900,${(i * 7919) % 4096},${(i * 104_729) % 1024}`;
  return [
    "TIMESTAMP,ContextTokens,GeneratedTokens",
    ...Array.from({ length: MADE_CALLS }, (_, i) => row(i)),
    "",
  ].join("\n");
}
