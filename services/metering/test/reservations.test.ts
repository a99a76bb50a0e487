import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { AccountNode } from "@gatehouse/access";
import { ReservedDecisionIds } from "@gatehouse/keys";
import { Granularity, GroupBy, AskResult_Outcome as Outcome, Window } from "@gatehouse/proto/metering";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { bookSettlements } from "../src/domain/book-settlements.ts";
import type { Settlement } from "../src/domain/reservation.ts";
import { PostgresReservationStore } from "../src/storage/reservation-store.ts";
import { IdentityLog, startMetering, type TestKey, type TestMetering } from "./fixture.ts";
import { Reserver, type Wish } from "./reserving.ts";

const timely = { timeoutMs: 5000 };
const HOUR_MS = 3_600_000;
const identity = new IdentityLog();
const verifier = identity.key(identity.root);
let postgres: TestPostgres;
let metering: TestMetering;
/** On the same database. */
let second: TestMetering;
let organization: AccountNode;
let team: AccountNode;
let key: TestKey;
let replica: Reserver;
let made = 0;

beforeAll(async () => {
  identity.meter("tokens");
  identity.meter("images");
  postgres = await startTestPostgres();
  metering = await startMetering(postgres.url, identity);
  second = await startMetering(postgres.url, identity, { bus: metering.bus });
});
afterAll(async () => {
  await second?.stop();
  await metering?.stop();
  await postgres?.stop();
});
beforeEach(async () => {
  // The middle of an hour: no test sees one end that does not mean to.
  pass(HOUR_MS / 2 - ((Date.now() + metering.time.offsetMs) % HOUR_MS));
  organization = identity.account(identity.root, `org${++made}`);
  team = identity.account(organization, "team");
  key = identity.key(team, "ACCOUNT");
  replica = new Reserver(metering, `authz-${made}`);
  await metering.follower.prove();
  await second.follower.prove();
});

/** Moves the time of both replicas. */
function pass(ms: number): void {
  for (const { time } of [metering, second]) time.offsetMs += ms;
}

interface QuotaWish {
  readonly meter?: string;
  readonly window?: Window;
  readonly resource?: string;
}

async function setQuota(account: string, units: number, { meter = "tokens", ...more }: QuotaWish = {}) {
  const { window = Window.NEVER, resource = "" } = more;
  const allowance = { case: "quota", value: { units: BigInt(units), window } } as const;
  const node = { case: "account", value: account } as const;
  await metering.limits(verifier).setLimit({ node, meter, resource, allowance }, timely);
}

/** Of the limits on an account itself, in the order they were made: used and remaining. */
async function buckets(account: string): Promise<[used: number, remaining: number][]> {
  const node = { case: "account", value: account } as const;
  const { allowances } = await metering.limits(verifier).getAllowance({ node }, timely);
  const own = allowances.filter(({ limit }) => limit!.nodeId === account);
  return own.map(({ used, remaining }) => [Number(used), Number(remaining)]);
}

/** Units of a meter below the organization in the last and the next hours, summed in every way. */
async function usage(meter = "tokens"): Promise<number> {
  const nowMs = Math.floor((Date.now() + metering.time.offsetMs) / HOUR_MS) * HOUR_MS;
  const totals: number[] = [];
  for (const granularity of [Granularity.UNSPECIFIED, Granularity.MINUTE, Granularity.HOUR]) {
    for (const groupBy of [[], [GroupBy.ACCOUNT, GroupBy.KEY, GroupBy.RESOURCE]]) {
      const { rows } = await metering.usage(verifier).queryUsage(
        {
          node: { case: "account", value: organization.id },
          descendants: true,
          granularity,
          groupBy,
          meter,
          start: timestampFromMs(nowMs - 2 * HOUR_MS),
          end: timestampFromMs(nowMs + 2 * HOUR_MS),
        },
        timely,
      );
      totals.push(rows.reduce((sum, { units }) => sum + Number(units), 0));
    }
  }
  expect(new Set(totals).size, `${meter}: ${totals}`).toBe(1);
  return totals[0]!;
}

function reserve(estimate: Readonly<Record<string, number>>, more: Partial<Wish> = {}) {
  const accounts = [team.id, organization.id, identity.root.id];
  return replica.reserve({ verifier: verifier.id, key: key.id, accounts, estimate, ...more });
}

async function commit(decisionId: string, cost: Record<string, number>, at = metering, as = verifier) {
  const charges = Object.entries(cost).map(([meter, units]) => ({ meter, units: BigInt(units) }));
  const answer = await at.usage(as).commitReservation({ decisionId, charges }, timely);
  const booked = Object.fromEntries(answer.charges.map(({ meter, units }) => [meter, Number(units)]));
  return { booked, pending: answer.pending };
}

async function release(decisionId: string, at = metering, as = verifier) {
  return (await at.usage(as).releaseReservation({ decisionId }, timely)).pending;
}

const finalState = { code: "FAILED_PRECONDITION", reason: "FINAL_STATE" };

async function everywhere(tokens: number) {
  await expect.poll(() => usage(), { timeout: timely.timeoutMs }).toBe(tokens);
  expect((await buckets(organization.id))[0]![0]).toBe(tokens);
  expect((await buckets(team.id))[0]![0]).toBe(tokens);
}

describe("a reservation that metering knows", () => {
  beforeEach(async () => {
    await setQuota(organization.id, 1000);
    await setQuota(team.id, 1000);
  });

  test.each([40, 100, 130, 0])("is booked at what it cost, %i for 100, on every level", async (cost) => {
    const { decisionId, ship } = await reserve({ tokens: 100, requests: 1 });
    await ship();
    await everywhere(100);
    const answer = { booked: { tokens: cost, requests: 1 }, pending: false };
    expect(await commit(decisionId, { tokens: cost })).toEqual(answer);
    await everywhere(cost);
    expect(await usage("requests")).toBe(1);
    expect(await commit(decisionId, { tokens: cost }, second)).toEqual(answer);
    await expect(commit(decisionId, { tokens: cost + 1 })).rejects.toMatchObject(finalState);
    await expect(commit(decisionId, { tokens: cost, requests: 1 })).rejects.toMatchObject(finalState);
    await expect(release(decisionId)).rejects.toMatchObject(finalState);
    await everywhere(cost);
  });

  test("is given back whole by a release, which can be said again and not be taken back", async () => {
    const { decisionId, ship } = await reserve({ tokens: 100, requests: 1 });
    await ship();
    expect(await release(decisionId)).toBe(false);
    expect(await release(decisionId, second)).toBe(false);
    await expect(commit(decisionId, {})).rejects.toMatchObject(finalState);
    await everywhere(0);
    expect(await usage("requests")).toBe(0);
  });

  test("keeps its estimate when its time is over, and is forgotten", async () => {
    const open = await reserve({ tokens: 100 }, { ttlMs: 2000 });
    const settled = await reserve({ tokens: 10 }, { ttlMs: 2000 });
    await open.ship();
    await settled.ship();
    await release(settled.decisionId);
    pass(5000);
    await expect(commit(open.decisionId, { tokens: 1 })).rejects.toMatchObject(finalState);
    await expect(release(open.decisionId, second)).rejects.toMatchObject(finalState);
    expect(await release(settled.decisionId)).toBe(false);
    const rows = () =>
      metering.query("SELECT FROM reservation WHERE decision_id = ANY($1)", [
        [open.decisionId, settled.decisionId],
      ]);
    await expect.poll(async () => (await rows()).length, { timeout: 5000 }).toBe(1);
    await everywhere(100);
    pass(HOUR_MS);
    await expect.poll(async () => (await rows()).length, { timeout: 5000 }).toBe(0);
    await expect(release(settled.decisionId)).rejects.toMatchObject(finalState);
    await expect(commit(open.decisionId, { tokens: 1 })).rejects.toMatchObject(finalState);
    expect((await buckets(team.id))[0]![0]).toBe(100);
  });

  test("is booked once, whoever says it at the same time at any replica", async () => {
    for (let round = 0; round < 5; round++) {
      const { decisionId, ship } = await reserve({ tokens: 100 });
      const before = (await buckets(team.id))[0]![0];
      const said = Array.from({ length: 12 }, (_, i) => {
        const at = i % 2 === 0 ? metering : second;
        return i % 3 === 0 ? release(decisionId, at) : commit(decisionId, { tokens: 30 + (i % 3) }, at);
      });
      const outcomes = await Promise.allSettled([...said, ship()]);
      const kept = outcomes.slice(0, -1).filter(({ status }) => status === "fulfilled");
      expect(kept.length).toBe(4);
      // Only one of the three was heard; each says what it was.
      const [first] = kept as PromiseFulfilledResult<{ booked: { tokens: number } } | boolean>[];
      const cost = typeof first!.value === "boolean" ? 0 : first!.value.booked.tokens;
      const booked = async () => (await buckets(team.id))[0]![0] - before;
      await expect.poll(booked, { timeout: 5000 }).toBe(cost);
    }
    const total = (await buckets(team.id))[0]![0];
    await everywhere(total);
  });

  test("would be booked twice without the look at whether it was (negative control)", async () => {
    const { decisionId, ship } = await reserve({ tokens: 100 });
    await ship();
    const store = new PostgresReservationStore(metering.changeLog);
    const settlement: Settlement = { kind: "COMMITTED", cost: new Map([["tokens", 130]]), mayExceed: true };
    for (let time = 0; time < 2; time++) {
      await store.transact(async (tx) => {
        const { reservation, nowMs } = await tx.lock(decisionId, 0);
        await bookSettlements(tx, [{ ...reservation, held: reservation.held!, settlement }], nowMs);
      });
    }
    await everywhere(160);
  });
});

describe("a reservation of which metering has not heard", () => {
  beforeEach(async () => {
    await setQuota(organization.id, 1000);
    await setQuota(team.id, 1000);
  });

  test("can be settled, once, and is booked when its batch comes, however late", async () => {
    const committed = await reserve({ tokens: 100, requests: 1 }, { ttlMs: 2000 });
    const released = await reserve({ tokens: 50 }, { ttlMs: 2000 });
    const missed = await reserve({ tokens: 7 }, { ttlMs: 2000 });
    const pending = { booked: { tokens: 20 }, pending: true };
    expect(await commit(committed.decisionId, { tokens: 20 }, second)).toEqual(pending);
    expect(await commit(committed.decisionId, { tokens: 20 })).toEqual(pending);
    await expect(commit(committed.decisionId, { tokens: 21 })).rejects.toMatchObject(finalState);
    expect(await release(released.decisionId)).toBe(true);
    pass(2 * HOUR_MS);
    await expect(release(missed.decisionId)).rejects.toMatchObject(finalState);
    for (const { ship } of [committed, released, missed]) await ship();
    await expect.poll(() => buckets(team.id), { timeout: 5000 }).toEqual([[27, 973]]);
    expect((await buckets(organization.id))[0]).toEqual([27, 973]);
    pass(-2 * HOUR_MS);
    await everywhere(27);
  });

  test("is known in full once it has been booked", async () => {
    const { decisionId, ship } = await reserve({ tokens: 100, requests: 1 });
    expect((await commit(decisionId, { tokens: 20 })).pending).toBe(true);
    await ship();
    const whole = { booked: { tokens: 20, requests: 1 }, pending: false };
    await expect.poll(() => commit(decisionId, { tokens: 20 }), { timeout: 5000 }).toEqual(whole);
  });

  test("waits for its account, which identity made a moment ago", async () => {
    const { decisionId, ship } = await reserve({ tokens: 100 });
    await ship();
    const say = (account: string) =>
      metering.query("UPDATE reservation SET account_id = $2 WHERE decision_id = $1", [decisionId, account]);
    await say("acc_unknown");
    expect((await commit(decisionId, { tokens: 20 })).pending).toBe(true);
    await say(team.id);
    await expect.poll(() => buckets(team.id), { timeout: 5000 }).toEqual([[20, 980]]);
    await everywhere(20);
  });

  test("does not exist for any other key, nor under an id that authz did not make", async () => {
    const { decisionId } = await reserve({ tokens: 100 });
    const other = identity.key(identity.root);
    const forged = new ReservedDecisionIds("another secret of thirty-two characters!");
    const nobodys = [
      () => release(decisionId, metering, other),
      () => release(decisionId, metering, key),
      () => commit(forged.mint(verifier.id, Date.now() + HOUR_MS), { tokens: 1 }),
      () => release(`dec_${"0".repeat(51)}`),
      () => release("dec_"),
      () => commit("x".repeat(100_000), {}),
      () => release("\0"),
    ];
    const message = "no such reservation in reach";
    for (const ask of nobodys) await expect(ask()).rejects.toMatchObject({ code: "NOT_FOUND", message });
    const rows = await metering.query("SELECT FROM reservation WHERE decision_id = $1", [decisionId]);
    expect(rows).toEqual([]);
  });
});

describe("what a reservation cost", () => {
  test("may leave a quota below zero, which then calls its leases back and lends nothing until it refills", async () => {
    await setQuota(team.id, 100, { window: Window.HOUR });
    const { decisionId, ship } = await reserve({ tokens: 60 });
    await ship();
    await replica.answerRecalls();
    const lent = await replica.acquire([team.id], { tokens: 10 }, { want: 10 });
    expect(lent.leases.length).toBe(1);
    await commit(decisionId, { tokens: 150 });
    await expect.poll(() => replica.recalled, { timeout: 5000 }).toEqual([lent.leases[0]!.limitId]);
    replica.stop();
    await expect.poll(() => buckets(team.id), { timeout: 5000 }).toEqual([[150, -50]]);
    const refused = await replica.acquire([team.id], { tokens: 1 });
    expect(refused.results[0]).toMatchObject({ outcome: Outcome.EXHAUSTED, remaining: -50n, leased: 0n });
    pass(HOUR_MS);
    const refilled = await replica.acquire([team.id], { tokens: 1 });
    expect(refilled.results[0]!.outcome).toBe(Outcome.GRANTED);
    pass(-HOUR_MS);
  });

  test("wakes who waits for units when it is less", async () => {
    await setQuota(team.id, 100);
    const { decisionId, ship } = await reserve({ tokens: 100 });
    await ship();
    expect((await replica.acquire([team.id], { tokens: 60 })).results[0]!.outcome).toBe(Outcome.EXHAUSTED);
    await commit(decisionId, { tokens: 40 });
    expect((await replica.acquire([team.id], { tokens: 60 })).results[0]!.outcome).toBe(Outcome.GRANTED);
    expect((await replica.acquire([team.id], { tokens: 1 })).results[0]!.outcome).not.toBe(Outcome.GRANTED);
  });

  test("belongs to the window of the estimate, also when that is over", async () => {
    await setQuota(team.id, 100, { window: Window.HOUR });
    const less = await reserve({ tokens: 50 }, { ttlMs: 4 * HOUR_MS });
    const more = await reserve({ tokens: 50 }, { ttlMs: 4 * HOUR_MS });
    await less.ship();
    await more.ship();
    pass(HOUR_MS);
    await replica.acquire([team.id], { tokens: 30 }, { want: 30 });
    const before = await buckets(team.id);
    expect(before).toEqual([[0, 70]]);
    await commit(less.decisionId, { tokens: 0 });
    await commit(more.decisionId, { tokens: 75 });
    expect(await buckets(team.id)).toEqual(before);
    pass(-HOUR_MS);
    expect((await buckets(team.id))[0]![0]).toBe(75);
    expect(await usage()).toBe(75);
  });

  test("gives nothing to a limit that was set since: that never had the estimate", async () => {
    await setQuota(team.id, 1000);
    const { decisionId, ship } = await reserve({ tokens: 100 });
    await ship();
    await setQuota(organization.id, 1000);
    const later = await reserve({ tokens: 5 });
    await later.ship();
    await release(decisionId);
    expect(await buckets(organization.id)).toEqual([[5, 995]]);
    expect(await buckets(team.id)).toEqual([[5, 995]]);
  });

  test("is drawn, of a meter without an estimate, from the quotas that count it, those of its resource too", async () => {
    await setQuota(team.id, 10, { meter: "images" });
    await setQuota(organization.id, 10, { meter: "images", resource: "model.*" });
    await setQuota(organization.id, 10, { meter: "images", resource: "orders.*" });
    const { decisionId, ship } = await reserve({ requests: 1 }, { resource: "model.chat" });
    await ship();
    expect((await commit(decisionId, { images: 3 })).booked).toEqual({ requests: 1, images: 3 });
    expect(await buckets(team.id)).toEqual([[3, 7]]);
    expect(await buckets(organization.id)).toEqual([
      [3, 7],
      [0, 10],
    ]);
    expect(await usage("images")).toBe(3);
  });

  test("moves on the key and its parent key as on the accounts, also of a meter without an estimate", async () => {
    const sub = identity.key(team, "SUB", key);
    await metering.follower.prove();
    const allowance = { case: "quota", value: { units: 100n, window: Window.NEVER } } as const;
    for (const { id } of [sub, key]) {
      const node = { case: "key", value: id } as const;
      for (const meter of ["tokens", "images"]) {
        await metering.limits(verifier).setLimit({ node, meter, allowance }, timely);
      }
    }
    const { decisionId, ship } = await reserve({ tokens: 10 }, { key: sub.id, parentKey: key.id });
    await ship();
    await commit(decisionId, { tokens: 25, images: 2 });
    for (const { id } of [sub, key]) {
      const node = { case: "key", value: id } as const;
      const { allowances } = await metering.limits(verifier).getAllowance({ node }, timely);
      const own = allowances.filter(({ limit }) => limit!.nodeId === id);
      expect(own.map(({ limit, used }) => [limit!.meter, used])).toEqual([
        ["tokens", 25n],
        ["images", 2n],
      ]);
    }
  });

  test("that cannot be booked holds up no other", async () => {
    await setQuota(organization.id, 1000);
    const [bad, good] = [await reserve({ tokens: 100 }), await reserve({ tokens: 100 })];
    await bad.ship();
    await good.ship();
    const point = (bucketId: string) =>
      metering.query<{ was: string }>(
        `UPDATE reservation SET draws = jsonb_set(draws, '{0,bucketId}', to_jsonb($2::text))
         WHERE decision_id = $1 RETURNING old.draws -> 0 ->> 'bucketId' AS was`,
        [bad.decisionId, bucketId],
      );
    const [{ was }] = (await point("no number")) as [{ was: string }];
    await expect(commit(bad.decisionId, { tokens: 10 })).rejects.toMatchObject({ code: "INTERNAL" });
    expect((await commit(good.decisionId, { tokens: 30 })).pending).toBe(false);
    expect(await usage()).toBe(130);
    await point(was);
    await expect.poll(() => usage()).toBe(40);
  });

  test("is put right in the share of a quota that it was taken of", async () => {
    await setQuota(organization.id, 1000);
    const node = { case: "account", value: team.id } as const;
    const allowance = { case: "quota", value: { units: 1000n, window: Window.NEVER } } as const;
    await metering
      .limits(verifier)
      .setLimit({ node, meter: "tokens", allowance, reservedShare: 0.5 }, timely);
    const [less, more] = [await reserve({ tokens: 100 }), await reserve({ tokens: 100 })];
    await less.ship();
    await more.ship();
    await everywhere(200);
    await commit(less.decisionId, { tokens: 40 });
    await everywhere(140);
    await commit(more.decisionId, { tokens: 130 });
    await everywhere(170);
  });

  test("takes of rates what is above the estimate, and gives them nothing back", async () => {
    const interval = { seconds: 3600n };
    const node = { case: "account", value: team.id } as const;
    const allowance = { case: "rate", value: { units: 100n, interval } } as const;
    await metering.limits(verifier).setLimit({ node, meter: "tokens", allowance }, timely);
    const [more, less] = [await reserve({ tokens: 20 }), await reserve({ tokens: 20 })];
    await more.ship();
    await less.ship();
    const before = (await buckets(team.id))[0]![1];
    await commit(less.decisionId, { tokens: 1 });
    expect((await buckets(team.id))[0]![1]).toBe(before);
    await commit(more.decisionId, { tokens: 220 });
    expect((await buckets(team.id))[0]![1]).toBe(before - 200);
    const refused = await replica.acquire([team.id], { tokens: 1 });
    expect(refused.results[0]!.outcome).not.toBe(Outcome.GRANTED);
  });

  test("is no more than the estimate where a subaccount's own verifier says it", async () => {
    await setQuota(organization.id, 1000);
    await setQuota(team.id, 1000);
    const own = identity.key(team, "ACCOUNT");
    const [known, early, less] = [
      await reserve({ tokens: 30 }, { verifier: own.id }),
      await reserve({ tokens: 30 }, { verifier: own.id }),
      await reserve({ tokens: 30 }, { verifier: own.id }),
    ];
    await known.ship();
    const huge = { tokens: 2 ** 48, images: 2 ** 48 };
    expect(await commit(known.decisionId, huge, metering, own)).toEqual({
      booked: { tokens: 30 },
      pending: false,
    });
    // What it is held to is not known yet, so nothing is said that will not be booked.
    expect(await commit(early.decisionId, huge, metering, own)).toEqual({ booked: {}, pending: true });
    await early.ship();
    await less.ship();
    expect((await commit(less.decisionId, { tokens: 5 }, metering, own)).booked).toEqual({ tokens: 5 });
    await everywhere(65);
    expect(await usage("images")).toBe(0);
    // Negative control: the organization's own, above which nobody is limited, says what it was.
    const organizations = identity.key(organization);
    const over = await reserve({ tokens: 10 }, { verifier: organizations.id });
    await over.ship();
    await commit(over.decisionId, { tokens: 135 }, metering, organizations);
    await everywhere(200);
  });

  test("is refused where it names what is no meter, or too much, or too many, field by field", async () => {
    const { decisionId } = await reserve({ tokens: 1 });
    const charges = [
      { meter: "tokens", units: -1n },
      { meter: "no_such_meter", units: 1n },
      { meter: "", units: 2n ** 48n + 1n },
      { meter: "tokens", units: 1n },
    ];
    const bad = metering.usage(verifier).commitReservation({ decisionId, charges }, timely);
    const fields = [
      "charges",
      "charges[0].units",
      "charges[1].meter",
      "charges[2].meter",
      "charges[2].units",
    ];
    await expect(bad).rejects.toMatchObject({ violations: fields.map((field) => ({ field })) });
    await expect(release("")).rejects.toMatchObject({ violations: [{ field: "decision_id" }] });
    const many = Array.from({ length: 17 }, (_, i) => ({ meter: `m${i}`, units: 1n }));
    const tooMany = metering.usage(verifier).commitReservation({ decisionId, charges: many }, timely);
    await expect(tooMany).rejects.toMatchObject({ violations: { length: 17 } });
  });
});
