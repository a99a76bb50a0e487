import { Window } from "@gatehouse/proto/metering";
import { expect, test } from "vitest";
import { timely } from "../system/caller.ts";
import { measured } from "../system/measured.ts";
import { makeOrganization } from "../system/organization.ts";
import { useSystem } from "../system/use-system.ts";
import { countCodes } from "../system/verifying.ts";
import { admitted, type Spender, spendUntilRefused } from "./spend-until-refused.ts";

/** N_OF_N_ROUNDS=1000 takes some four minutes, to find what two replicas do to the last units once in a thousand times. */
const ROUNDS = Number(process.env.N_OF_N_ROUNDS ?? 16);
/** At once; each by callers of its own. */
const LANES = 4;
const CALLERS = 8;
const MOST = 80;

const system = useSystem();

test("of N exactly N are admitted by two replicas, however often", { timeout: 1_200_000 }, async () => {
  const { root } = system();
  const made = await makeOrganization(system(), "N of N");
  const wrong: string[] = [];
  const codes: Record<string, number> = {};
  let rounds = 0;
  const lane = async () => {
    while (rounds < ROUNDS) {
      const round = ++rounds;
      const { account, secret } = await made.master.accounts.createAccount(
        { name: `round ${round}` },
        timely,
      );
      const units = Math.floor(Math.random() * MOST);
      await root.limits.setLimit(
        {
          node: { case: "account", value: account!.id },
          allowance: { case: "quota", value: { units: BigInt(units), window: Window.NEVER } },
        },
        timely,
      );
      const spenders = Array.from({ length: CALLERS }, (_, i): Spender => ({ key: secret, replica: i % 2 }));
      const answers = await spendUntilRefused(root, spenders);
      if (admitted(answers) !== units) wrong.push(`round ${round}: ${admitted(answers)} of ${units}`);
      for (const [code, count] of Object.entries(countCodes(answers)))
        codes[code] = (codes[code] ?? 0) + count;
    }
  };
  const startedMs = performance.now();
  await Promise.all(Array.from({ length: LANES }, lane));
  measured("exactly N of N", { rounds, codes, "for ms": performance.now() - startedMs });
  expect(wrong).toEqual([]);
  expect(codes.QUOTA_EXCEEDED).toBe(ROUNDS * CALLERS);
});
