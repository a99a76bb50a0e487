import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Enforcement } from "@gatehouse/proto/metering";
import { expect, test } from "vitest";
import { timely } from "../system/caller.ts";
import { measured } from "../system/measured.ts";
import { makeOrganization } from "../system/organization.ts";
import { until } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";
import { type Answer, ask, countCodes, startLoad } from "../system/verifying.ts";
import { type Rate, worstExcess as worstExcessOf } from "./limits-model.ts";

/** RATE_ADMISSIONS=9000 takes some four minutes, all of whose intervals are looked at. */
const ADMISSIONS = Number(process.env.RATE_ADMISSIONS ?? 150);
const RUN_MS = 30_000 + ADMISSIONS * 100;
/** Metering lends units of a rate for up to 10 s, and waits another second for a word of them. */
const LEASE_MS = 11_500;

const system = useSystem();

async function limitedKey(name: string, rate: Rate, enforcement = Enforcement.ENFORCE): Promise<string> {
  const { id, subaccounts } = await makeOrganization(system(), name, ["team"]);
  const value = {
    units: BigInt(rate.units),
    interval: durationFromMs(rate.intervalMs),
    burst: BigInt(rate.burst),
  };
  const allowance = { case: "rate", value } as const;
  const node = { case: "account", value: id } as const;
  await system().root.limits.setLimit({ node, allowance, enforcement }, timely);
  return subaccounts[0]!.key.secret;
}

/** Calls without a pause, refused or not, until so many are admitted; answers those, in the order of their sending. */
async function admissions(key: string, callers: number, replicas: number, count: number): Promise<Answer[]> {
  const beganMs = performance.now();
  const load = startLoad(callers, (caller) => ask(system().root, caller % replicas, { key }));
  try {
    let admitted = 0;
    let seen = 0;
    const isDone = () => {
      for (; seen < load.answers.length; seen++) if (load.answers[seen]!.code === "VALID") admitted++;
      return admitted >= count;
    };
    await until(`${count} calls are admitted`, isDone, RUN_MS);
  } finally {
    await load.stop();
  }
  const { answers } = load;
  const forMs = performance.now() - beganMs;
  measured("calls at a rate limit", { callers, replicas, "for ms": forMs, codes: countCodes(answers) });
  return answers.filter(({ code }) => code === "VALID").sort((a, b) => a.sentMs - b.sentMs);
}

function worstExcess(admitted: readonly Answer[], rate: Rate): number {
  return worstExcessOf(
    admitted.map((answer) => ({ ...answer, meter: "requests", units: 1 })),
    rate,
  );
}

test("one a second is one a second, to a caller that never waits", async () => {
  const rate = { units: 1, intervalMs: 1000, burst: 1 };
  const key = await limitedKey("One a second", rate);
  const admitted = await admissions(key, 1, 1, 7);
  const gaps = admitted.slice(1).map(({ sentMs }, i) => Math.round(sentMs - admitted[i]!.sentMs));
  measured("one a second", { admitted: admitted.length, "ms between admissions": gaps });
  expect(worstExcess(admitted, rate)).toBeLessThanOrEqual(0);
  // Refilling starts when a unit was spent: were it when metering hears of it, this would be about 2 s.
  expect(gaps.sort((a, b) => a - b)[Math.floor(gaps.length / 2)]).toBeLessThan(1500);
});

test("no interval admits more than burst and rate allow, over two replicas", {
  timeout: RUN_MS + 30_000,
}, async () => {
  const rate = { units: 40, intervalMs: 1000, burst: 10 };
  const key = await limitedKey("Forty a second", rate);
  const admitted = await admissions(key, 8, 2, ADMISSIONS);
  const worst = worstExcess(admitted, rate);
  measured("forty a second with a burst of ten", { admitted: admitted.length, "worst excess": worst });
  expect(worst).toBeLessThanOrEqual(0);
  expect(new Set(admitted.map(({ replica }) => replica)).size).toBe(2);
});

test("a replica that was stopped for longer than its leases live spends nothing of them", async () => {
  const rate = { units: 40, intervalMs: 1000, burst: 40 };
  const key = await limitedKey("Stopped", rate);
  const { process } = system().replicas[1]!;
  const load = startLoad(8, (caller) => ask(system().root, caller % 2, { key }, 30_000));
  const valid = () => load.answers.filter(({ code }) => code === "VALID");
  try {
    // The second has a lease and units of it left: it was given several and is stopped between two calls.
    await until("both admit", () => new Set(valid().map(({ replica }) => replica)).size === 2);
    process.pause();
    const pausedMs = performance.now();
    await until("its leases are over", () => performance.now() > pausedMs + LEASE_MS);
    process.resume();
    const resumedMs = performance.now();
    await until("it admits again", () =>
      valid().some(({ replica, sentMs }) => replica === 1 && sentMs > resumedMs + 500),
    );
  } finally {
    process.resume();
    await load.stop();
  }
  const admitted = valid().sort((a, b) => a.sentMs - b.sentMs);
  const worst = worstExcess(admitted, rate);
  measured("forty a second, a replica stopped", { admitted: admitted.length, "worst excess": worst });
  expect(worst).toBeLessThanOrEqual(0);
});

test("a rate that only warns is exceeded, and the same check says so", async () => {
  const rate = { units: 40, intervalMs: 1000, burst: 10 };
  const key = await limitedKey("Warned rate", rate, Enforcement.WARN);
  expect(worstExcess(await admissions(key, 4, 2, 100), rate)).toBeGreaterThan(0);
});
