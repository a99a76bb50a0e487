import { durationFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { DecisionCode, type VerifyResponse } from "@gatehouse/proto/authz";
import { Window } from "@gatehouse/proto/metering";
import { expect, test } from "vitest";
import { timely } from "../system/caller.ts";
import { measured } from "../system/measured.ts";
import { makeOrganization, type Organization, type Subaccount } from "../system/organization.ts";
import { until, untilMs } from "../system/until.ts";
import { useSystem } from "../system/use-system.ts";
import { askUntilValid } from "../system/verifying.ts";
import { arrivedUsage, bucketOf, settledBucket, sum, usageBelow } from "./books.ts";

/** P2 and P3 of calls whose cost is known only afterwards. */

const N = 1000;
const ESTIMATE = 10;
const TTL_MS = 600_000;
const CALLERS = 16;
const SETTLED = 200;
/** Of these, the ones that are sent to a metering that stands still and is killed. */
const UNHEARD = 50;

/** The second replica keeps no spool: the mechanism off. */
const system = useSystem({ replicas: [{}, { environment: { GATEHOUSE_SPOOL_SYNC: "off" } }] });

async function organizationWithQuota(name: string, units = N): Promise<Organization> {
  const made = await makeOrganization(system(), name, ["one", "other"]);
  const node = { case: "account", value: made.id } as const;
  const allowance = { case: "quota", value: { units: BigInt(units), window: Window.NEVER } } as const;
  await system().root.limits.setLimit({ node, allowance }, timely);
  return made;
}

function reserve({ key }: Subaccount, replica: number, requestId = ""): Promise<VerifyResponse> {
  const charges = [{ meter: "requests", units: BigInt(ESTIMATE) }];
  const call = { key: key.secret, charges, reserveTtl: durationFromMs(TTL_MS), requestId };
  return system().root.authz[replica]!.verify(call, timely);
}

async function reserveUntilValid(account: Subaccount, replica: number): Promise<string> {
  return until("a reservation is made", async () => {
    const { code, decisionId } = await reserve(account, replica);
    return code === DecisionCode.VALID && decisionId;
  });
}

async function commit(decisionId: string, units: number): Promise<boolean> {
  const charges = [{ meter: "requests", units: BigInt(units) }];
  return (await system().root.usage.commitReservation({ decisionId, charges }, timely)).pending;
}

async function release(decisionId: string): Promise<boolean> {
  return (await system().root.usage.releaseReservation({ decisionId }, timely)).pending;
}

/** Callers of both accounts, at both replicas, each until it is told that there is no more; the ids they got. */
async function reserveUntilRefused({ subaccounts }: Organization): Promise<string[]> {
  const decisionIds: string[] = [];
  const reserveAll = async (caller: number) => {
    for (;;) {
      const { code, decisionId, retryAfter } = await reserve(subaccounts[caller % 2]!, (caller >> 1) % 2);
      if (code === DecisionCode.QUOTA_EXCEEDED) return;
      if (code === DecisionCode.VALID) decisionIds.push(decisionId);
      else if (code !== DecisionCode.INDETERMINATE) throw new Error(`answered ${DecisionCode[code]}`);
      else await untilMs(performance.now() + Number(retryAfter?.nanos ?? 0) / 1e6);
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, (_, caller) => reserveAll(caller)));
  return decisionIds;
}

test("a reservation counts at its estimate until it is released, and then admits another", async () => {
  const made = await organizationWithQuota("Reserving");
  const first = await reserveUntilRefused(made);
  expect(first).toHaveLength(N / ESTIMATE);
  expect(new Set(first).size).toBe(first.length);

  const released = first.filter((_, i) => i % 2 === 0);
  const pending = await Promise.all(released.map(release));
  const free = released.length * ESTIMATE;
  await until("what was released is there again", async () => {
    const { used, leased } = await bucketOf(system().root, made.id);
    return used + leased === N - free;
  });
  // A replica remembers for two seconds at most that it was refused.
  const again = [
    await reserveUntilValid(made.subaccounts[0]!, 0),
    await reserveUntilValid(made.subaccounts[0]!, 1),
  ];
  const second = [...again, ...(await reserveUntilRefused(made))];
  measured("reservations against a quota of 1000, 10 each", {
    admitted: first.length,
    released: released.length,
    "of those before their batch": pending.filter(Boolean).length,
    "admitted again": second.length,
  });
  expect(second).toHaveLength(released.length);

  const kept = [...first.filter((_, i) => i % 2 === 1), ...second];
  await Promise.all(kept.map((id, i) => commit(id, i % 3)));
  const cost = sum(kept.map((_, i) => i % 3));
  await until("the bucket and the usage record say what it cost", async () => {
    const usage = await usageBelow(made.master, made.id);
    const { used } = await bucketOf(system().root, made.id);
    return used === cost && sum(usage.values()) === cost;
  });
  expect(await settledBucket(system().root, made.id)).toEqual({ used: cost, leased: 0, remaining: N - cost });
});

test("a replica killed before it told of a reservation tells of it when it is back, and it is booked once", async () => {
  const made = await organizationWithQuota("Reserving and killed", 1_000_000);
  const [one, other] = [made.subaccounts[0]!, made.subaccounts[1]!];
  const { replicas } = system();
  // Leases in hand, and the path to metering cut: what is reserved now is nowhere but at the replica.
  for (const [i, account] of [one, other].entries()) await reserveUntilValid(account, i).then(release);
  for (const { links } of replicas) links.metering.cut();
  const [spooled, unspooled] = [await reserveUntilValid(one, 0), await reserveUntilValid(other, 1)];
  await Promise.all(replicas.map(({ process }) => process.kill()));
  expect(await commit(spooled, 25)).toBe(true);
  expect(await commit(unspooled, 25)).toBe(true);
  for (const { links } of replicas) links.metering.mend();
  await Promise.all(replicas.map(({ process }) => process.start()));
  await until("the recovered reservation is booked", async () => !(await commit(spooled, 25)));
  // Both ship what they have as soon as they are up; a call of the second's own shows that it has.
  await askUntilValid(system().root, 1, { key: one.key.secret });
  await arrivedUsage(made.master, made.id, 26);
  await until("what is left is the call and what the reservation cost", async () => {
    const usage = await usageBelow(made.master, made.id);
    return usage.get(one.id) === 26 && sum(usage.values()) === 26;
  });
  await expect(commit(spooled, 26)).rejects.toMatchObject({ reason: "FINAL_STATE" });
  // Negative control: without its spool the second has nothing to tell, and nothing is booked.
  expect(await commit(unspooled, 25)).toBe(true);
});

test("metering killed while reservations are settled books each once, as it was said and said again", async () => {
  const made = await organizationWithQuota("Settling and killed", 1_000_000);
  const account = made.subaccounts[0]!;
  const decisionIds: string[] = [];
  while (decisionIds.length < SETTLED) decisionIds.push(await reserveUntilValid(account, 0));
  await arrivedUsage(made.master, made.id, SETTLED * ESTIMATE);
  let answered = 0;
  const settle = async (id: string, i: number) => {
    const first = i % 3 === 0 ? release(id) : commit(id, 2 * (i % 7));
    await first.then(
      () => answered++,
      () => undefined,
    );
    return until("it is settled", async () => !(await (i % 3 === 0 ? release(id) : commit(id, 2 * (i % 7)))));
  };
  const unheard = decisionIds.slice(-UNHEARD);
  const heard = decisionIds.slice(0, -UNHEARD);
  const settling = heard.map(settle);
  await until("some are answered", () => answered >= SETTLED / 8);
  system().metering.pause();
  settling.push(...unheard.map((id, i) => settle(id, heard.length + i)));
  await system().metering.kill();
  const before = answered;
  await system().metering.start();
  await Promise.all(settling);
  measured("metering killed while 200 reservations are settled", { "answered before": before });
  expect(before).toBeLessThan(SETTLED);
  const cost = sum(decisionIds.map((_, i) => (i % 3 === 0 ? 0 : 2 * (i % 7))));
  await until("the bucket and the usage record say what it cost", async () => {
    const usage = await usageBelow(made.master, made.id);
    const { used } = await bucketOf(system().root, made.id);
    return used === cost && sum(usage.values()) === cost;
  });
});

test("a retry is the same reservation, and a batch reserves call by call", async () => {
  const made = await organizationWithQuota("Reserving twice");
  const account = made.subaccounts[0]!;
  const first = await reserve(account, 0, "retried");
  const again = await reserve(account, 0, "retried");
  expect(first.code).toBe(DecisionCode.VALID);
  expect([again.decisionId, again.reservedUntil]).toEqual([first.decisionId, first.reservedUntil]);
  const left = timestampMs(first.reservedUntil!) - Date.now();
  expect(left).toBeGreaterThan(TTL_MS - 10_000);
  expect(left).toBeLessThanOrEqual(TTL_MS);

  const key = account.key.secret;
  const reserveTtl = durationFromMs(TTL_MS);
  const plain = { key };
  const requests = [{ key, reserveTtl }, plain, { key, reserveTtl }, { key: "gth_acc_none", reserveTtl }];
  const { responses } = await system().root.authz[0]!.batchVerify({ requests }, timely);
  expect(responses.map(({ reservedUntil }) => reservedUntil !== undefined)).toEqual([
    true,
    false,
    true,
    false,
  ]);
  for (const { decisionId } of [first, responses[0]!, responses[2]!]) await release(decisionId);
  await expect(release(responses[1]!.decisionId)).rejects.toMatchObject({ code: "NOT_FOUND" });
  const usage = await arrivedUsage(made.master, made.id, 1);
  expect(usage.get(account.id)).toBeGreaterThanOrEqual(1);
  await until("only the plain call is left", async () => {
    const now = await usageBelow(made.master, made.id);
    return now.get(account.id) === 1;
  });
});

test("what cannot be reserved is refused where it is asked", async () => {
  const { subaccounts } = await organizationWithQuota("Not reserving");
  const key = subaccounts[0]!.key.secret;
  const ask = (more: object) => system().root.authz[0]!.verify({ key, ...more }, timely);
  for (const ttlMs of [-1, 0, 999, 86_400_001]) {
    const refused = ask({ reserveTtl: durationFromMs(ttlMs) });
    await expect(refused).rejects.toMatchObject({ violations: [{ field: "reserve_ttl" }] });
  }
  const peek = ask({ reserveTtl: durationFromMs(TTL_MS), charges: [{ meter: "requests", units: 0n }] });
  await expect(peek).rejects.toMatchObject({ violations: [{ field: "reserve_ttl" }] });
});
