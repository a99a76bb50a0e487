import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Window } from "@gatehouse/proto/metering";
import { expect, test } from "vitest";
import { timely } from "../system/caller.ts";
import { measured } from "../system/measured.ts";
import { makeOrganization, type Organization } from "../system/organization.ts";
import { until, untilMs } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";
import { type Answer, ask, countCodes, startLoad } from "../system/verifying.ts";
import { arrivedUsage, bucketOf, sum } from "./books.ts";
import { admitted } from "./spend-until-refused.ts";

/** Both replicas; a key that nothing limits, and one with a quota that the load does not use up. */
const CALLERS = 4;
const PAUSE_MS = 15;
const DOWN_MS = 1500;
const UNITS = 1_000_000n;

/** Longer than a busy machine takes to start identity again. */
const environment = { GATEHOUSE_STALENESS_MAX: "60s" };
const system = useSystem({ replicas: [{ environment }, { environment }] });

async function organizationOfTwo(name: string): Promise<Organization> {
  const made = await makeOrganization(system(), name, ["unlimited", "limited"]);
  const node = { case: "account", value: made.subaccounts[1]!.id } as const;
  const allowance = { case: "quota", value: { units: UNITS, window: Window.NEVER } } as const;
  await system().root.limits.setLimit({ node, allowance }, timely);
  return made;
}

/** Calls go on while `crash` happens; answers what they saw, and when that was. */
async function callsAcross({ subaccounts }: Organization, crash: () => Promise<void>) {
  const load = startLoad(CALLERS, async (caller) => {
    // A steady demand: a lease is to last about two seconds of it.
    await untilMs(performance.now() + PAUSE_MS);
    return ask(system().root, caller % 2, { key: subaccounts[caller < 2 ? 0 : 1]!.key.secret });
  });
  try {
    await until("calls are warm", () => admitted(load.answers) > 200);
    const crashedMs = performance.now();
    await crash();
    const restoredMs = performance.now();
    await until("all are admitted again", () => {
      const last = load.answers.slice(-20);
      return last.every(({ code, sentMs }) => code === "VALID" && sentMs > restoredMs);
    });
    return { answers: await load.stop(), crashedMs, restoredMs };
  } finally {
    await load.stop();
  }
}

async function expectBooked(made: Organization, answers: readonly Answer[]): Promise<void> {
  const usage = await arrivedUsage(made.master, made.id, admitted(answers));
  expect(sum(usage.values())).toBe(admitted(answers));
  for (const { id, key } of made.subaccounts) expect(usage.get(id)).toBe(admitted(answers, key.secret));
}

test("warm keys go on without metering, and every unit is booked once it is back", async () => {
  const made = await organizationOfTwo("Without metering");
  const { answers, crashedMs, restoredMs } = await callsAcross(made, async () => {
    await system().metering.kill();
    await untilMs(performance.now() + DOWN_MS);
    await system().metering.start();
  });
  const down = answers.filter(({ sentMs }) => sentMs > crashedMs && sentMs < restoredMs);
  const [unlimited, limited] = made.subaccounts.map(({ key }) =>
    down.filter((each) => each.key === key.secret),
  );
  measured("metering killed under load", {
    "down for ms": restoredMs - crashedMs,
    unlimited: countCodes(unlimited!),
    limited: countCodes(limited!),
    admitted: admitted(answers),
  });
  expect(countCodes(unlimited!)).toEqual({ VALID: unlimited!.length });
  // What was lent is spent; after that it is not known, and nobody is told that a quota is used up.
  expect(admitted(limited!)).toBeGreaterThan(10);
  const others = limited!.filter(({ code }) => code !== "VALID");
  expect(countCodes(others)).toEqual(others.length === 0 ? {} : { INDETERMINATE: others.length });
  await expectBooked(made, answers);
});

test("warm keys go on without identity, saying how stale they are, and every unit is booked", async () => {
  const made = await organizationOfTwo("Without identity");
  const { answers, crashedMs, restoredMs } = await callsAcross(made, async () => {
    await system().identity.kill();
    await untilMs(performance.now() + DOWN_MS);
    await system().identity.start();
  });
  const down = answers.filter(({ sentMs }) => sentMs > crashedMs && sentMs < restoredMs);
  const greatest = Math.max(...down.map(({ stalenessMs }) => stalenessMs));
  measured("identity killed under load", {
    "down for ms": restoredMs - crashedMs,
    codes: countCodes(down),
    "greatest staleness, ms": greatest,
    admitted: admitted(answers),
  });
  expect(countCodes(down)).toEqual({ VALID: down.length });
  expect(greatest).toBeGreaterThan(1000);
  await expectBooked(made, answers);
});

/** Events of an account, one after another, each reported until it is answered. */
function startReports(account: string, units: number) {
  const time = timestampFromMs(Date.now());
  let [isStopping, reported] = [false, 0];
  const report = async () => {
    const node = { case: "account", value: account } as const;
    const event = { id: `${account} ${reported}`, node, meter: "requests", units: BigInt(units), time };
    const answer = await system().root.usage.reportUsage({ source: "crash", events: [event] }, timely);
    return answer.errors.length === 0;
  };
  const run = async () => {
    for (; !isStopping; reported++) await until("an event is booked", report);
  };
  const running = run();
  running.catch(() => {}); // whoever stops it hears of it
  return {
    /** Answers the units of all. */
    async stop() {
      isStopping = true;
      await running;
      return reported * units;
    },
  };
}

test("warm keys go on while Postgres is killed, and what it had booked and had not is booked once", async () => {
  const made = await organizationOfTwo("Without Postgres");
  const { postgres, root } = system();
  const reports = startReports(made.subaccounts[1]!.id, 3);
  const { answers, crashedMs, restoredMs } = await callsAcross(made, async () => {
    // The second time it has just recovered, and everything that waited is on its way.
    for (let i = 0; i < 2; i++) {
      await postgres.kill();
      await untilMs(performance.now() + DOWN_MS / 2);
      await postgres.start();
    }
  });
  const reported = await reports.stop();
  const down = answers.filter(({ sentMs }) => sentMs > crashedMs && sentMs < restoredMs);
  const [unlimited, limited] = made.subaccounts.map(({ key }) =>
    answers.filter((each) => each.key === key.secret),
  );
  measured("Postgres killed under load", {
    "down for ms": restoredMs - crashedMs,
    codes: countCodes(down),
    admitted: admitted(answers),
    reported,
  });
  expect(countCodes(unlimited!)).toEqual({ VALID: unlimited!.length });
  expect(
    Object.keys(countCodes(limited!)).filter((code) => code !== "VALID" && code !== "INDETERMINATE"),
  ).toEqual([]);
  expect(reported).toBeGreaterThan(0);
  const all = admitted(answers) + reported;
  const usage = await arrivedUsage(made.master, made.id, all);
  const expected = [admitted(unlimited!), admitted(limited!) + reported];
  expect(made.subaccounts.map(({ id }) => usage.get(id))).toEqual(expected);
  expect(sum(usage.values())).toBe(all);
  expect((await bucketOf(root, made.subaccounts[1]!.id)).used).toBe(expected[1]);
});
