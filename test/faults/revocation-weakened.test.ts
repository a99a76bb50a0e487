import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect, test } from "vitest";
import type { WeakeningName } from "../../services/authz/test/weakenings.ts";
import { measured } from "../system/measured.ts";
import type { Replica, System } from "../system/system.ts";
import { until, untilMs } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";
import { forgeBells } from "./forged-bells.ts";
import { OpenLoop, type Outage, staleAnswers } from "./open-loop.ts";
import { prepareRevocations, type Revocation } from "./revocations.ts";

/**
 * The negative controls of the attack on P1 with real processes: replicas with one rule off each, beside one that is
 * whole. The same load, the same revocations and the same judgement find the stale answers of the weakened, and none of
 * the whole. Rules whose moment real processes meet too rarely are in services/authz/test/stale-answers.test.ts.
 */
const BOUNDS = { boundMs: 1000, stalenessMaxMs: 5000 };
const WATCH_MS = 600;
/** Calls that lie before a replica when it goes on. */
const CALLS = 40;
const WHOLE = 0;

interface Control {
  readonly off: WeakeningName;
  readonly ways: readonly string[];
  /** What the replica goes through; answers when it could not reach identity. */
  readonly run: (
    replica: Replica,
    revoke: () => Promise<void>,
    system: System,
    load: OpenLoop,
  ) => Promise<Omit<Outage, "replica">[]>;
}

const KEY = "revoking a key";

const controls: readonly Control[] = [
  { off: "copies accounts into keys", ways: [KEY, "suspending an organization"], run: undisturbed },
  {
    off: "keeps sub-keys whose parent key was replaced",
    ways: [KEY, "revoking a parent key"],
    run: undisturbed,
  },
  {
    off: "looks at its age when a proof ends, not when it answers",
    ways: [KEY],
    run: stoppedAcross,
  },
  { off: "does not follow for the keys that ask", ways: ["revoking the key that asks"], run: stoppedAcross },
  {
    off: "takes a bell for proof",
    ways: [KEY],
    async run({ links }, revoke, system) {
      const fromMs = performance.now();
      links.identity.cut();
      const forging = await forgeBells(system, []);
      await revoke();
      await pause(BOUNDS.stalenessMaxMs + 500);
      await forging.stop();
      links.identity.mend();
      return [{ fromMs, toMs: performance.now() }];
    },
  },
  {
    off: "believes for ever that the source is out of reach",
    ways: [KEY],
    async run(replica, revoke, system, load) {
      const { identity } = replica.links;
      const fromMs = performance.now();
      identity.cut();
      await pause(BOUNDS.boundMs);
      await until("it answers from state past its bound", () =>
        load.seen.some(({ sentMs, code }) => sentMs > fromMs + BOUNDS.boundMs && code === "VALID"),
      );
      const away = { fromMs, toMs: Number.NaN };
      await stoppedAcross(
        replica,
        () => {
          identity.mend();
          away.toMs = performance.now();
          return revoke();
        },
        system,
        load,
      );
      return [away];
    },
  },
];

const environment = { GATEHOUSE_STALENESS_MAX: `${BOUNDS.stalenessMaxMs}ms` };
const main = join(import.meta.dirname, "weakened-authz.ts");
const system = useSystem({
  replicas: [
    { environment },
    ...controls.map(({ off }) => ({ main, environment: { ...environment, WEAKENED: off } })),
  ],
});

test.each(controls.map((control, i) => ({ ...control, weakened: i + 1 })))(
  "an authz that $off is caught",
  async ({ off, ways: names, run, weakened }) => {
    // Beside each other, each with keys and a load of its own.
    const [ofWhole, ofWeakened] = await Promise.all(
      [WHOLE, weakened].map(async (replica) => {
        const ways = await prepareRevocations(system(), `${weakened} ${replica}`, names);
        const load = new OpenLoop(system(), ways, [replica]);
        try {
          await until("it is warm", () => load.isWarm);
          const committedMs = new Map<Revocation, number>();
          const revoke = async () => {
            await Promise.all(
              ways.map(async (way) => {
                await way.change();
                committedMs.set(way, performance.now());
              }),
            );
          };
          const away = await run(system().replicas[replica]!, revoke, system(), load);
          await untilMs(Math.max(...committedMs.values()) + BOUNDS.boundMs + WATCH_MS);
          await load.stop();
          const outages = away.map((outage) => ({ ...outage, replica }));
          return staleAnswers(load.seen, committedMs, outages, BOUNDS).length;
        } finally {
          await load.stop();
        }
      }),
    );
    measured(`an authz that ${off}`, {
      "stale answers": ofWeakened,
      "of the whole": ofWhole,
    });
    expect(ofWeakened).toBeGreaterThan(0);
    expect(ofWhole).toBe(0);
  },
);

async function undisturbed(_replica: Replica, revoke: () => Promise<void>): Promise<[]> {
  await revoke();
  return [];
}

/** It goes on with calls before it that were sent past the bound, and no bell that would make it doubt what it knows. */
async function stoppedAcross(
  { process, links }: Replica,
  revoke: () => Promise<void>,
  _system: System,
  load: OpenLoop,
): Promise<[]> {
  links.nats.hang();
  process.pause();
  await revoke();
  await pause(BOUNDS.boundMs);
  await load.send(CALLS);
  const resumedMs = performance.now();
  process.resume();
  await until("it answers again", () => load.seen.some(({ sentMs }) => sentMs > resumedMs));
  links.nats.mend();
  return [];
}
