import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { timely } from "../system/caller.ts";
import { measured } from "../system/measured.ts";
import { until, untilMs } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";
import { countCodes } from "../system/verifying.ts";
import { bucketOf, sum, usageBelow } from "./books.ts";
import type { LeaseWeakening } from "./lease-weakenings.ts";
import { HOLDS, LimitAttack, RATE_METER } from "./limits-attack.ts";
import { lostUnits } from "./limits-model.ts";
import { openLeases } from "./open-leases.ts";

/**
 * P2 with three replicas to each of four organizations: one that stays up but hears recalls late, one that is killed
 * and loses half of all recalls, and one that is stopped (SIGSTOP) for longer than a rate's leases live. That one is
 * whole for the first organization, and has one rule off for each of the others: the same calls, the same faults and
 * the same model find what it admits. Metering is killed meanwhile, links are cut, the limit is lowered and raised,
 * a window ends. ATTACK_ROUNDS repeats it all.
 */
const ROUNDS = Number(process.env.ATTACK_ROUNDS ?? 1);
const ROUND_TIMEOUT_MS = 240_000;
/** From the start of the calls: a rate's leases live 10 s at most, and metering waits another second for a word of them. */
const STOPPED_AT_MS = 2000;
const STOPPED_MS = 14_500;
const WINDOW_END_MS = STOPPED_AT_MS + STOPPED_MS + 3500;
/**
 * Less than the 30 s after which a replica gives back by itself what nobody uses. Where a rule is off there is as long as
 * the whole one takes for all that it has to do.
 */
const DRAIN_MS = 22_000;

const controls: readonly { off: LeaseWeakening; finds: RegExp }[] = [
  { off: "hears no recall", finds: /^not exhausted/ },
  { off: "spends past the end of a window", finds: /^window/ },
  { off: "spends past a lease's deadline", finds: /^rate/ },
];

const weakened = (WEAKENED: LeaseWeakening) => ({
  main: join(import.meta.dirname, "weakened-holder.ts"),
  environment: { WEAKENED },
});
const [STEADY, KILLED, WHOLE] = [0, 1, 2];
const STOPPED = [WHOLE, ...controls.map((_, i) => WHOLE + 1 + i)];
const system = useSystem({
  replicas: [{}, weakened("loses half of all recalls"), {}, ...controls.map(({ off }) => weakened(off))],
});

beforeAll(async () => {
  await system().root.meters.createMeter({ name: RATE_METER }, timely);
});

describe.each(Array.from({ length: ROUNDS }, (_, round) => round + 1))("round %i", (round) => {
  let attacks: readonly LimitAttack[];
  const found: string[][] = [];
  let isWholeDone = false;

  beforeAll(async () => {
    const startMs = performance.now() + 1500;
    const windowEndMs = startMs + WINDOW_END_MS;
    attacks = await Promise.all(
      STOPPED.map((stopped) =>
        LimitAttack.begin(system(), `${round} ${stopped}`, [STEADY, KILLED, stopped], windowEndMs),
      ),
    );
    await untilMs(startMs);
    try {
      await disturb(startMs);
      await untilMs(windowEndMs);
      const [whole, ...weakened] = attacks.map(exhaust);
      await whole;
      isWholeDone = true;
      await Promise.all(weakened);
      for (const [i, attack] of attacks.entries()) found[i]!.push(...attack.violations());
    } finally {
      for (const i of STOPPED) system().replicas[i]!.process.resume();
      await Promise.all(attacks.map((attack) => attack.stop()));
    }
  }, ROUND_TIMEOUT_MS);

  async function disturb(startMs: number): Promise<void> {
    const { replicas, metering } = system();
    const stopped = STOPPED.map((i) => replicas[i]!);
    await Promise.all(attacks.map((attack) => attack.touchRate()));
    for (const attack of attacks) attack.start();
    await untilMs(startMs + STOPPED_AT_MS);
    for (const { process } of stopped) process.pause();
    const stoppedMs = performance.now();
    replicas[STEADY]!.links.metering.slow(20);
    await replicas[KILLED]!.process.kill();
    await Promise.all(attacks.map((attack) => attack.holdOrganization(HOLDS.organization / 2)));
    await replicas[KILLED]!.process.start();
    await metering.restart();
    await Promise.all(attacks.map((attack) => attack.holdOrganization(HOLDS.organization)));
    replicas[KILLED]!.links.metering.cut();
    await untilMs(stoppedMs + STOPPED_MS);
    for (const attack of attacks) attack.demandRate("greedy");
    for (const { process } of stopped) process.resume();
    await untilMs(performance.now() + 2500);
    for (const attack of attacks) attack.demandRate("none");
    replicas[KILLED]!.links.metering.mend();
  }

  /** What has a window first, with every replica; then the rest, with one that needs what the others have in hand. */
  async function exhaust(attack: LimitAttack, i: number): Promise<void> {
    found[i] = [];
    const exhausted = async (what: string, isTrue = () => attack.isExhausted) => {
      const hasTime = () => i === 0 || !isWholeDone;
      await until(what, () => isTrue() || !hasTime(), DRAIN_MS).catch(() => {});
      if (isTrue()) return;
      const lent = await openLeases(system(), attack.made.id);
      found[i]!.push(
        `not exhausted: ${what}: ${attack.admitted} admitted; ${lent.join(", ") || "none"} lent`,
      );
    };
    attack.demand(["greedy", "greedy", "paced"]);
    await exhausted("what the windows have");
    attack.demand(["greedy", "greedy", "greedy"], [STEADY]);
    await exhausted(`all ${HOLDS.organization}`);
    if (i > 0) return;
    // Lowered it has nothing, for what is used is kept; raised it has just what it was raised by.
    let used = HOLDS.organization;
    const admittedBefore = attack.admitted;
    for (const units of [used + 500, used / 2, used + 700]) {
      await attack.holdOrganization(units);
      attack.askAgain();
      used = Math.max(used, units);
      const expected = admittedBefore + used - HOLDS.organization;
      await exhausted(`what the organization has when it holds ${units}`, () => {
        // A replica may remember for two seconds that there was no more.
        if (attack.isExhausted && attack.admitted < expected) attack.askAgain();
        return attack.isExhausted && attack.admitted === expected;
      });
    }
  }

  test("three replicas that are whole admit what there is, at each level, and all of it", async () => {
    const [attack] = attacks;
    const { calls, rateCalls, made } = attack!;
    measured("limits attacked", {
      calls: calls.length,
      codes: countCodes(calls),
      admitted: attack!.admitted,
      "lost units": lostUnits(calls),
      "of rates": countCodes(rateCalls),
    });
    expect(found[0]).toEqual([]);
    // Nothing is left behind: what was not admitted is what lost answers were charged.
    const held = HOLDS.organization + 700;
    expect(attack!.admitted + lostUnits(calls)).toBeGreaterThanOrEqual(held);
    await until("the books say the same", async () => {
      const usage = sum((await usageBelow(made.master, made.id)).values());
      const { used, remaining } = await bucketOf(system().root, made.id);
      return usage === held && used === usage && remaining === 0;
    });
  });

  test.each(controls.map((control, i) => ({ ...control, i: i + 1 })))(
    "beside two that are whole, one that $off is caught",
    ({ off, finds, i }) => {
      measured(`a holder that ${off}`, { found: found[i]!.join("; ") });
      expect(found[i]!.filter((each) => finds.test(each))).not.toEqual([]);
    },
  );
});
