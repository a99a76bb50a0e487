import { Window } from "@gatehouse/proto/metering";
import { expect, test } from "vitest";
import { timely } from "../system/caller.ts";
import { measured } from "../system/measured.ts";
import { makeOrganization } from "../system/organization.ts";
import { until } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";
import { ask, askUntilValid, countCodes } from "../system/verifying.ts";
import { arrivedUsage, bucketOf, usageBelow } from "./books.ts";

const N = 300;

/** The second replica keeps no spool: the mechanism off. */
const system = useSystem({ replicas: [{}, { environment: { GATEHOUSE_SPOOL_SYNC: "off" } }] });

test("what a replica answered VALID is booked though it was killed at once; without its spool it is lost", async () => {
  const { root, replicas } = system();
  const made = await makeOrganization(system(), "Spool", ["spooled", "not spooled"]);
  const node = { case: "account", value: made.id } as const;
  const allowance = { case: "quota", value: { units: 1_000_000n, window: Window.NEVER } } as const;
  await root.limits.setLimit({ node, allowance }, timely);

  const [spooled, unspooled] = [made.subaccounts[0]!, made.subaccounts[1]!];
  const calls = Array.from({ length: 2 * N }, (_, i) =>
    ask(root, i % 2, { key: (i % 2 === 0 ? spooled : unspooled).key.secret }),
  );
  const answers = await Promise.all(calls);
  await Promise.all(replicas.map(({ process }) => process.kill()));
  expect(countCodes(answers)).toEqual({ VALID: 2 * N });
  const shippedBefore = (await usageBelow(made.master, made.id)).get(spooled.id) ?? 0;

  await Promise.all(replicas.map(({ process }) => process.start()));
  await until("what was spooled has arrived", async () => {
    const usage = await usageBelow(made.master, made.id);
    return (usage.get(spooled.id) ?? 0) >= N;
  });
  // Both ship what they have as soon as they are up; a call of the second's own shows that it has.
  await askUntilValid(root, 1, { key: spooled.key.secret });
  const usage = await arrivedUsage(made.master, made.id, N + 1);
  measured("killed right after answering", {
    answered: N,
    "booked before the restart": shippedBefore,
    "booked with its spool": usage.get(spooled.id)! - 1,
    "booked without (negative control)": usage.get(unspooled.id) ?? 0,
  });
  expect(usage.get(spooled.id)).toBe(N + 1);
  expect(usage.get(unspooled.id) ?? 0).toBeLessThan(N);
  expect((await bucketOf(root, made.id)).used).toBeGreaterThanOrEqual(N);
});
