import { Window } from "@gatehouse/proto/metering";
import { expect, test } from "vitest";
import { timely } from "../system/caller.ts";
import { measured } from "../system/measured.ts";
import { makeOrganization, makeSubKey } from "../system/organization.ts";
import type { Upstream } from "../system/system.ts";
import { useSystem } from "../system/use-system.ts";
import { type Answer, ask, askUntilValid, countCodes } from "../system/verifying.ts";
import { admitted } from "./spend-until-refused.ts";

const COLD = 50;
const WARM = 200;
/** So many warm calls at least are made while the cold ones wait, on however busy a machine. */
const WARM_MIN = 10;
const UNITS = 100_000n;

const system = useSystem({ replicas: [{ environment: { GATEHOUSE_STALENESS_MAX: "60s" } }] });

/**
 * Hangs a link, sends calls that need it, and then calls that do not, one after the other for as long as any of the
 * first has no answer: what became of both.
 */
async function behind(upstream: Upstream, cold: readonly string[], warm: string) {
  const { root, replicas } = system();
  const link = replicas[0]!.links[upstream];
  link.hang();
  try {
    let waiting = cold.length;
    const held = cold.map((key) =>
      ask(root, 0, { key }).then((answer) => {
        waiting--;
        return answer;
      }),
    );
    const answers: Answer[] = [];
    while (waiting > 0 && answers.length < WARM) answers.push(await ask(root, 0, { key: warm }, 5000));
    const late = await Promise.all(held);
    return { answers, late };
  } finally {
    link.mend();
  }
}

test("warm keys do not wait behind keys that a hung identity is asked about", async () => {
  const made = await makeOrganization(system(), "Hung identity", ["cold", "warm"]);
  const [cold, warm] = made.subaccounts;
  const names = Array.from({ length: COLD }, (_, i) => `cold ${i}`);
  const keys: string[] = [];
  for (const name of names) keys.push((await makeSubKey(made.master, cold!.key.id, name)).secret);
  await askUntilValid(system().root, 0, { key: warm!.key.secret });
  const { answers, late } = await behind("identity", keys, warm!.key.secret);
  measured("identity hangs", { warm: countCodes(answers), cold: countCodes(late) });
  expect(answers.length).toBeGreaterThan(WARM_MIN);
  expect(admitted(answers)).toBe(answers.length);
  expect(countCodes(late)).toEqual({ INDETERMINATE: COLD });
  await askUntilValid(system().root, 0, { key: keys[0]! });
});

test("warm keys do not wait behind keys that a hung metering is asked to lend for", async () => {
  const names = Array.from({ length: COLD }, (_, i) => `cold ${i}`);
  const made = await makeOrganization(system(), "Hung metering", ["warm", ...names]);
  for (const { id } of made.subaccounts) {
    const allowance = { case: "quota", value: { units: UNITS, window: Window.NEVER } } as const;
    await system().root.limits.setLimit({ node: { case: "account", value: id }, allowance }, timely);
  }
  const [warm, ...cold] = made.subaccounts.map(({ key }) => key.secret);
  // Asked for as many as it is about to spend, so that it has them in hand.
  const needs = { key: warm!, charges: [{ meter: "requests", units: BigInt(10 * WARM) }] };
  await askUntilValid(system().root, 0, needs);
  for (let i = 0; i < WARM; i++) await ask(system().root, 0, { key: warm! });
  const { answers, late } = await behind("metering", cold, warm!);
  measured("metering hangs", { warm: countCodes(answers), cold: countCodes(late) });
  expect(answers.length).toBeGreaterThan(WARM_MIN);
  expect(admitted(answers)).toBe(answers.length);
  expect(countCodes(late)).toEqual({ INDETERMINATE: COLD });
  await askUntilValid(system().root, 0, { key: cold[0]! });
});
