import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { Granularity, Window } from "@gatehouse/proto/metering";
import { afterAll, expect, test } from "vitest";
import { timely } from "../system/caller.ts";
import { measured } from "../system/measured.ts";
import { makeOrganization, type Organization } from "../system/organization.ts";
import { until, untilMs } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";
import { type Answer, ask, countCodes } from "../system/verifying.ts";
import { admitted, spendUntilRefused } from "./spend-until-refused.ts";

/**
 * P2 and P4 where days are not 24 hours, and where a month ends with a leap day: real processes whose clocks are set to
 * before the end of such a window, and go on across it. Many callers at two replicas are admitted exactly N before it and
 * exactly N after, and usage by day says so.
 */

const N = 300;
const CALLERS = 32;
const HOUR_MS = 3_600_000;
/** So that what is admitted before is told apart from what is after. */
const BEFORE_MS = 60_000;
/** A replica may remember for two seconds what it was refused before its clock was set. */
const LAST_MS = 2500;

const directory = mkdtempSync(join(tmpdir(), "gatehouse-days-"));
const aheadIn = join(directory, "ahead");
let ahead = 0;
/** Sets the clock of all; it goes on from there. */
function setClock(ms: number): void {
  ahead = ms - Date.now();
  // In one step: a clock that were another's for a moment would have leases end.
  writeFileSync(`${aheadIn}.next`, String(ahead));
  renameSync(`${aheadIn}.next`, aheadIn);
}
const now = () => Date.now() + ahead;

/** Clocks are only ever set forward: in this order. */
const days = [
  {
    name: "a day of 23 hours",
    window: Window.DAY,
    timeZone: "America/Los_Angeles",
    start: "2025-03-09T08:00Z",
    end: "2025-03-10T07:00Z",
    // Of the zone's offset as the day began: it has that day end after 24 hours.
    unchanging: "Etc/GMT+8",
  },
  {
    name: "a day of 25 hours",
    window: Window.DAY,
    timeZone: "America/Los_Angeles",
    start: "2025-11-02T07:00Z",
    end: "2025-11-03T08:00Z",
    unchanging: "Etc/GMT+7",
  },
  {
    name: "a month with a leap day in a zone of half an hour",
    window: Window.MONTH,
    timeZone: "Asia/Kolkata",
    start: "2028-01-31T18:30Z",
    end: "2028-02-29T18:30Z",
    unchanging: "UTC",
  },
];
setClock(Date.parse(days[0]!.end) - BEFORE_MS);

const system = useSystem({
  replicas: [0, 1].map(() => ({
    environment: {
      NODE_OPTIONS: `--import=${join(import.meta.dirname, "stepped-clock.ts")}`,
      CLOCK_AHEAD_IN: aheadIn,
    },
  })),
  metering: {
    main: join(import.meta.dirname, "ahead-metering.ts"),
    environment: { CLOCK_AHEAD_IN: aheadIn },
  },
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

async function organizationOf(name: string, window: Window, timeZone: string): Promise<Organization> {
  const made = await makeOrganization(system(), name, ["one"]);
  const node = { case: "account", value: made.id } as const;
  const allowance = { case: "quota", value: { units: BigInt(N), window, timeZone } } as const;
  await system().root.limits.setLimit({ node, allowance }, timely);
  return made;
}

/** Callers at both replicas, until there is no more. */
function spend({ subaccounts }: Organization): Promise<readonly Answer[]> {
  const { secret } = subaccounts[0]!.key;
  const spenders = Array.from({ length: CALLERS }, (_, i) => ({ key: secret, replica: i % 2 }));
  return spendUntilRefused(system().root, spenders);
}

/** Callers at both replicas that go on being refused until the window has ended, and then until there is no more. */
async function spendAcross({ subaccounts }: Organization, endMs: number): Promise<readonly Answer[]> {
  const { secret: key } = subaccounts[0]!.key;
  const answers: Answer[] = [];
  const call = async (replica: number) => {
    for (let isOver = false; !isOver; await untilMs(performance.now() + 5)) {
      // A replica learns how long a refusal holds some time after metering has said it.
      const isAfter = now() > endMs + 1000 || admitted(answers) >= N;
      const answer = await ask(system().root, replica, { key });
      answers.push(answer);
      isOver = isAfter && answer.code === "QUOTA_EXCEEDED";
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, (_, i) => call(i % 2)));
  return answers;
}

test.each(days)("$name holds N, and so does what comes after it", async ({ window, timeZone, ...day }) => {
  const [startMs, endMs] = [Date.parse(day.start), Date.parse(day.end)];
  setClock(endMs - BEFORE_MS);
  const made = await organizationOf(day.name, window, timeZone);
  const unchanging = await organizationOf(`${day.name}, unchanging`, window, day.unchanging);
  const before = await Promise.all([made, unchanging].map(spend));
  expect(before.map((answers) => admitted(answers))).toEqual([N, N]);
  expect(now()).toBeLessThan(endMs - LAST_MS);

  setClock(endMs - LAST_MS);
  const endedAtMs = performance.now() + endMs - now();
  const [after, control] = await Promise.all([made, unchanging].map((each) => spendAcross(each, endMs)));
  measured(day.name, {
    before: before.map(countCodes),
    after: countCodes(after!),
    control: countCodes(control!),
  });
  expect(admitted(after!)).toBe(N);
  expect(after!.filter(({ code, receivedMs }) => code === "VALID" && receivedMs < endedAtMs)).toEqual([]);
  // Its clocks never change: this is no end of its window, and the same look sees it.
  expect(admitted(control!)).toBe(0);

  const granularity = window === Window.MONTH ? Granularity.MONTH : Granularity.DAY;
  const units = async () => {
    const { rows } = await made.master.usage.queryUsage(
      {
        node: { case: "account", value: made.id },
        descendants: true,
        granularity,
        timeZone,
        meter: "requests",
        start: timestampFromMs(startMs),
        end: timestampFromMs(endMs + HOUR_MS),
      },
      timely,
    );
    return rows.map(({ start, units }) => [new Date(timestampMs(start!)).toISOString(), Number(units)]);
  };
  const expected = [startMs, endMs].map((ms) => [new Date(ms).toISOString(), N]);
  await until("usage has come", async () => {
    const seen = await units();
    return seen.length === 2 && seen.every(([, each]) => Number(each) >= N);
  });
  expect(await units()).toEqual(expected);
});
