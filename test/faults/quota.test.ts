import { join } from "node:path";
import { Enforcement, Window } from "@gatehouse/proto/metering";
import { beforeAll, describe, expect, test } from "vitest";
import { timely } from "../system/caller.ts";
import { measured } from "../system/measured.ts";
import { makeOrganization, type Organization } from "../system/organization.ts";
import type { System } from "../system/system.ts";
import { until } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";
import { type Answer, ask, askUntilValid, countCodes } from "../system/verifying.ts";
import { arrivedUsage, type Bucket, bucketOf, settledBucket, sum, usageBelow } from "./books.ts";
import type { LeaseWeakening } from "./lease-weakenings.ts";
import { admitted, lostBefore, type Spender, spendUntilRefused } from "./spend-until-refused.ts";

const CALLERS = 64;
const N = 1000;
/** Of the three subaccounts; the third is bound by the organization's only. */
const SUBACCOUNT_UNITS = [300, 500, undefined] as const;

/** The third replica has a rule off, and is only asked where that is to be seen. */
const FORGETFUL = 2;
const WEAKENED: LeaseWeakening = "forgets what a lost answer lent";
const main = join(import.meta.dirname, "weakened-holder.ts");
const system = useSystem({ replicas: [{}, {}, { main, environment: { WEAKENED } }] });

async function setQuota(system: System, account: string, units: number, enforcement = Enforcement.ENFORCE) {
  await system.root.limits.setLimit(
    {
      node: { case: "account", value: account },
      allowance: { case: "quota", value: { units: BigInt(units), window: Window.NEVER } },
      enforcement,
    },
    timely,
  );
}

async function organizationWithQuotas(name: string, enforcement?: Enforcement): Promise<Organization> {
  const made = await makeOrganization(system(), name, ["three hundred", "five hundred", "the rest"]);
  await setQuota(system(), made.id, N, enforcement);
  for (const [i, units] of SUBACCOUNT_UNITS.entries()) {
    if (units !== undefined) await setQuota(system(), made.subaccounts[i]!.id, units, enforcement);
  }
  return made;
}

/** Callers of some of the subaccounts, spread over them and over both replicas. */
function spendersOf({ subaccounts }: Organization, which: readonly number[], count = CALLERS): Spender[] {
  return Array.from({ length: count }, (_, i) => ({
    key: subaccounts[which[i % which.length]!]!.key.secret,
    replica: Math.floor(i / which.length) % 2,
  }));
}

/** What was admitted beyond what quotas hold; empty when they were kept. */
function overspent({ subaccounts }: Organization, answers: readonly Answer[]): string[] {
  const found = admitted(answers) > N ? [`the organization admitted ${admitted(answers)} of ${N}`] : [];
  for (const [i, units] of SUBACCOUNT_UNITS.entries()) {
    const count = admitted(answers, subaccounts[i]!.key.secret);
    if (units !== undefined && count > units) found.push(`${units}: admitted ${count}`);
  }
  return found;
}

function report(what: string, { subaccounts }: Organization, answers: readonly Answer[], more = {}): void {
  const each = subaccounts.map(({ key }) => admitted(answers, key.secret));
  measured(what, { admitted: admitted(answers), "by subaccount": each, codes: countCodes(answers), ...more });
}

describe("two replicas, 64 callers", () => {
  test("admit exactly what the organization holds, and nobody below it more than its own", async () => {
    const made = await organizationWithQuotas("Exact");
    const answers = await spendUntilRefused(system().root, spendersOf(made, [0, 1, 2]));
    report("quota of 1000 over 300, 500 and the rest", made, answers);
    expect(overspent(made, answers)).toEqual([]);
    expect(admitted(answers)).toBe(N);
    expect(countCodes(answers)).toMatchObject({ QUOTA_EXCEEDED: CALLERS });
    expect(countCodes(answers).LOST).toBeUndefined();

    const usage = await arrivedUsage(made.master, made.id, N);
    for (const { id, key } of made.subaccounts)
      expect(usage.get(id) ?? 0).toBe(admitted(answers, key.secret));
    expect(await settledBucket(system().root, made.id)).toEqual({ used: N, leased: 0, remaining: 0 });
  });

  test("admit exactly what each subaccount holds where the organization has more", async () => {
    const made = await organizationWithQuotas("Exact below");
    const answers = await spendUntilRefused(system().root, spendersOf(made, [0, 1]));
    report("quotas of 300 and 500 under 1000", made, answers);
    expect(made.subaccounts.map(({ key }) => admitted(answers, key.secret))).toEqual([300, 500, 0]);
    await arrivedUsage(made.master, made.id, 800);
    await until("the organization's bucket says so", async () => {
      const { used } = await bucketOf(system().root, made.id);
      return used === 800;
    });
  });

  test("admit exactly that over a slow link, where recalls come late", async () => {
    const made = await organizationWithQuotas("Slow link");
    const link = system().replicas[1]!.links.metering;
    link.slow(40);
    try {
      const answers = await spendUntilRefused(system().root, spendersOf(made, [0, 1, 2]));
      report("the same with 40 ms each way between a replica and metering", made, answers);
      expect(overspent(made, answers)).toEqual([]);
      expect(admitted(answers)).toBe(N);
    } finally {
      link.mend();
    }
  });

  test("that only warn admit more, and the same check says so", async () => {
    const made = await organizationWithQuotas("Warned", Enforcement.WARN);
    const answers = await spendUntilRefused(system().root, spendersOf(made, [0, 1, 2]), { maxCalls: 20 });
    report("negative control, quotas that do not enforce", made, answers);
    expect(overspent(made, answers)).toHaveLength(2);
  });
});

describe("a replica killed in the middle of spending", () => {
  let made: Organization;
  let answers: readonly Answer[];
  let lost = 0;

  beforeAll(async () => {
    made = await organizationWithQuotas("Killed");
    const { process } = system().replicas[1]!;
    let sofar = 0;
    let killedMs = 0;
    let restarted: Promise<void> | undefined;
    const onAnswer = ({ code }: Answer) => {
      if (code === "VALID") sofar++;
      if (sofar < N * 0.4 || restarted !== undefined) return;
      killedMs = performance.now();
      restarted = process.restart();
    };
    answers = await spendUntilRefused(system().root, spendersOf(made, [0, 1, 2]), { onAnswer });
    await restarted;
    lost = lostBefore(answers, killedMs);
    report("the same with a replica killed at 400", made, answers, { "lost answers": lost });
  }, 120_000);

  test("lets nobody spend more than there is", () => {
    expect(overspent(made, answers)).toEqual([]);
  });

  test("charges what was admitted, and of what was lost at most all: once, on every level", async () => {
    const { bucket, usage } = await until("the bucket and the usage record agree", async () => {
      const bucket = await bucketOf(system().root, made.id);
      const usage = await usageBelow(made.master, made.id);
      return bucket.used === sum(usage.values()) && bucket.used >= admitted(answers) && { bucket, usage };
    });
    measured("the books after the kill", { ...bucket, usage: sum(usage.values()), lost });
    expect(bucket.used).toBeLessThanOrEqual(admitted(answers) + lost);
    // No unit is left behind: what was not admitted is what lost answers were charged.
    expect(bucket).toEqual({ used: N, leased: 0, remaining: 0 });
    expect(countCodes(answers)).toMatchObject({ QUOTA_EXCEEDED: CALLERS });
    for (const [i, units] of SUBACCOUNT_UNITS.entries()) {
      const { id } = made.subaccounts[i]!;
      if (units !== undefined) expect((await bucketOf(system().root, id)).used).toBe(usage.get(id) ?? 0);
    }
  });
});

test("units that a replica is lent after it has given up waiting are there to be spent", async () => {
  const made = await organizationWithQuotas("Late");
  const { metering } = system().replicas[1]!.links;
  const { id, key } = made.subaccounts[0]!;
  // It knows which limits there are, and has no units.
  await askUntilValid(system().root, 1, { key: key.secret, charges: [{ meter: "requests", units: 0n }] });
  metering.hangReplies();
  try {
    expect((await ask(system().root, 1, { key: key.secret })).code).toBe("INDETERMINATE");
    expect((await bucketOf(system().root, id)).leased).toBeGreaterThan(0);
  } finally {
    metering.mend();
  }
  const answers = await spendUntilRefused(system().root, spendersOf(made, [0]));
  report("quota of 300, of which units were lent late", made, answers);
  expect(admitted(answers)).toBe(SUBACCOUNT_UNITS[0]);
});

/** Answers what of an account is lent once a replica, that lost the answer which lent it, has told of something else. */
async function lentByLostAnswer(
  name: string,
  replica: number,
): Promise<{ made: Organization; leased: number }> {
  const made = await organizationWithQuotas(name);
  const { metering } = system().replicas[replica]!.links;
  const [asking, , other] = made.subaccounts;
  const peek = { key: asking!.key.secret, charges: [{ meter: "requests", units: 0n }] };
  await askUntilValid(system().root, replica, peek);
  metering.hangReplies();
  try {
    const asked = ask(system().root, replica, { key: asking!.key.secret });
    await until("units are lent", async () => (await bucketOf(system().root, asking!.id)).leased > 0);
    metering.cut();
    expect((await asked).code).toBe("INDETERMINATE");
  } finally {
    metering.mend();
  }
  await askUntilValid(system().root, replica, { key: other!.key.secret });
  await arrivedUsage(made.master, made.id, 1);
  return { made, leased: (await bucketOf(system().root, asking!.id)).leased };
}

test("units that a replica was lent by an answer that is lost come back while it lives", async () => {
  const { made, leased } = await lentByLostAnswer("Lost answer", 1);
  expect(leased).toBe(0);
  const answers = await spendUntilRefused(system().root, spendersOf(made, [0]));
  report("quota of 300, of which units were lent by an answer that was lost", made, answers);
  expect(admitted(answers)).toBe(SUBACCOUNT_UNITS[0]);
});

test("they stay lent to one that forgets what it may have been lent", async () => {
  const { leased } = await lentByLostAnswer("Forgotten answer", FORGETFUL);
  expect(leased).toBeGreaterThan(0);
});

describe("units lent to a replica that was killed before it heard of them", () => {
  let unheard: Bucket;

  beforeAll(async () => {
    const made = await organizationWithQuotas("Unheard");
    const { process, links } = system().replicas[1]!;
    const [asking, other] = [made.subaccounts[0]!, made.subaccounts[2]!];
    // It knows which limits there are, and has no units.
    const peek = { key: asking.key.secret, charges: [{ meter: "requests", units: 0n }] };
    await askUntilValid(system().root, 1, peek);
    links.metering.hangReplies();
    const asked = ask(system().root, 1, { key: asking.key.secret });
    await until("units are lent", async () => (await bucketOf(system().root, asking.id)).leased > 0);
    await process.kill();
    links.metering.mend();
    // As the replica was killed, or had waited for metering long enough.
    expect(["LOST", "INDETERMINATE"]).toContain((await asked).code);
    await process.start();
    await askUntilValid(system().root, 1, { key: other.key.secret });
    // One round ships a batch of every epoch: what the killed one left came before this.
    await arrivedUsage(made.master, made.id, 1);
    unheard = await bucketOf(system().root, asking.id);
    measured("units lent and never heard of", { ...unheard });
  }, 120_000);

  test("are never admitted", () => {
    expect(unheard.used + unheard.leased).toBe(SUBACCOUNT_UNITS[0] - unheard.remaining);
    expect(unheard.used).toBe(0);
  });

  test("come back with its spool", () => {
    expect(unheard.leased).toBe(0);
  });
});
