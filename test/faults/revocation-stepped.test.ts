import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { DecisionCode } from "@gatehouse/proto/authz";
import { afterAll, afterEach, expect, test } from "vitest";
import type { WeakeningName } from "../../services/authz/test/weakenings.ts";
import { measured } from "../system/measured.ts";
import { until, untilMs } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";
import { lastValidAfterMs, OpenLoop, staleAnswers } from "./open-loop.ts";
import { prepareRevocations, type Revocation } from "./revocations.ts";

/** P1 while the wall clocks of real replicas are set back and forth; and one that goes by its wall clock alone is caught. */
const BOUNDS = { boundMs: 1000, stalenessMaxMs: 5000 };
const WATCH_MS = 1600;
const HOUR_MS = 3_600_000;
const CALLS = 40;
const [WHOLE, WEAKENED] = [0, 1];
const OFF: WeakeningName = "trusts the wall clock alone";
/** Proofs have time to end between two steps; some are under way at one. */
const STEP_EVERY_MS = 150;
const STEPS_MS = [-HOUR_MS, 0, -900, HOUR_MS, 900, 0, 60_000, -60_000];

const directory = mkdtempSync(join(tmpdir(), "gatehouse-stepped-"));
const aheadIn = (replica: number) => join(directory, String(replica));
const setAhead = (replica: number, ms: number) => writeFileSync(aheadIn(replica), String(ms));

const clockOf = (replica: number) => ({
  GATEHOUSE_STALENESS_MAX: `${BOUNDS.stalenessMaxMs}ms`,
  NODE_OPTIONS: `--import=${join(import.meta.dirname, "stepped-clock.ts")}`,
  CLOCK_AHEAD_IN: aheadIn(replica),
});
for (const replica of [WHOLE, WEAKENED]) setAhead(replica, 0);
const system = useSystem({
  replicas: [
    { environment: clockOf(WHOLE) },
    {
      main: join(import.meta.dirname, "weakened-authz.ts"),
      environment: { ...clockOf(WEAKENED), WEAKENED: OFF },
    },
  ],
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));
afterEach(() => {
  system().identityLinks.nats.mend();
  for (const [replica, { process, links }] of system().replicas.entries()) {
    process.resume();
    links.nats.mend();
    setAhead(replica, 0);
  }
});

/** Revokes in all these ways at once; times on this process's clock. */
async function revoke(ways: readonly Revocation[], committedMs: Map<Revocation, number>): Promise<void> {
  await Promise.all(
    ways.map(async (way) => {
      await way.change();
      committedMs.set(way, performance.now());
    }),
  );
}

test("a revocation binds within a second, while the wall clock is set back and forth", async () => {
  // A key's own end is as true as the wall clock, so it is no way here.
  const names = ["revoking a key", "suspending an organization", "revoking a parent key"];
  const ways = await prepareRevocations(system(), "stepped", names);
  const load = new OpenLoop(system(), ways, [WHOLE]);
  const committedMs = new Map<Revocation, number>();
  let steps = 0;
  const stepping = setInterval(() => setAhead(WHOLE, STEPS_MS[steps++ % STEPS_MS.length]!), STEP_EVERY_MS);
  try {
    await until("it is warm", () => load.isWarm);
    system().identityLinks.nats.cut(); // what it knows of its age is all that helps
    await revoke(ways, committedMs);
    await untilMs(Math.max(...committedMs.values()) + WATCH_MS);
    // Not merely undecided, though its clock goes on jumping.
    await until("every way is refused", () => {
      const refused = load.seen.filter(
        ({ way, sentMs, code }) => sentMs > committedMs.get(way)! && isRefusal(code),
      );
      return new Set(refused.map(({ way }) => way)).size === ways.length;
    });
    await load.stop();
    measured("the wall clock set back and forth", {
      calls: load.seen.length,
      steps,
      "last VALID sent after it, ms": Math.round(lastValidAfterMs(load.seen, committedMs, WHOLE)),
    });
    expect(staleAnswers(load.seen, committedMs, [], BOUNDS)).toEqual([]);
  } finally {
    clearInterval(stepping);
    await load.stop();
  }
});

function isRefusal(code: string): boolean {
  return Object.hasOwn(DecisionCode, code) && code !== "VALID" && code !== "INDETERMINATE";
}

test("one that trusts the wall clock alone is caught, where it is set back while the replica is stopped", async () => {
  const stale = new Map<number, number>();
  for (const replica of [WHOLE, WEAKENED]) {
    const ways = await prepareRevocations(system(), `stopped ${replica}`, ["revoking a key"]);
    const load = new OpenLoop(system(), ways, [replica]);
    const committedMs = new Map<Revocation, number>();
    const { process, links } = system().replicas[replica]!;
    try {
      await until("it is warm", () => load.isWarm);
      links.nats.hang();
      process.pause();
      await revoke(ways, committedMs);
      await pause(BOUNDS.boundMs);
      setAhead(replica, -HOUR_MS);
      await load.send(CALLS);
      const resumedMs = performance.now();
      process.resume();
      await until("it answers again", () => load.seen.some(({ sentMs }) => sentMs > resumedMs));
      await load.stop();
      stale.set(replica, staleAnswers(load.seen, committedMs, [], BOUNDS).length);
    } finally {
      process.resume();
      await load.stop();
    }
  }
  measured(`an authz that ${OFF}`, {
    "stale answers": stale.get(WEAKENED),
    "of the whole": stale.get(WHOLE),
  });
  expect(stale.get(WEAKENED)).toBeGreaterThan(0);
  expect(stale.get(WHOLE)).toBe(0);
});
