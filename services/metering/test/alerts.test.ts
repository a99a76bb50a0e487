import { AlertDirection, Window } from "@gatehouse/proto/metering";
import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { type Alerting, patiently, startAlerting, timely } from "./alerting.ts";
import type { TestKey } from "./fixture.ts";
import { Holder } from "./holder.ts";

let system: Alerting;

beforeAll(async () => {
  system = await startAlerting(2);
});
afterAll(() => system?.stop());
beforeEach(() => system.moveTo(undefined));

const minuteOf = (at: string) => BigInt(Date.parse(at) / 60_000);
const daily = (amount: bigint, more: object = {}) =>
  ({ case: "usage", value: { amount, window: Window.DAY, ...more } }) as const;

describe("usage", () => {
  test("is told of once in a window, whatever replica hears of it, and of late batches in their own", async () => {
    const { account, create, book } = await system.organization();
    system.moveTo("2027-03-02T12:00:00Z");
    const [today, yesterday] = [minuteOf("2027-03-02T11:00Z"), minuteOf("2027-03-01T23:59Z")];
    system.moveTo("2027-03-01T12:00:00Z");
    const alert = await create({ name: "ten", subject: daily(10n) });
    system.moveTo("2027-03-02T12:00:00Z");
    await book({ minute: today, units: 9n }, { minute: yesterday, units: 9n });
    expect(await system.toldBy(alert)).toEqual([]);
    // Two replicas at once, and both go on.
    await Promise.all([1n, 2n, 3n, 4n].map((units) => book({ minute: today, units })));
    const [first, ...more] = await system.toldBy(alert);
    expect(more).toEqual([]);
    expect(first).toMatchObject({
      type: "alert.reached",
      account_id: account.id,
      organization_id: account.id,
      subject: alert.id,
      data: {
        name: "ten",
        node_id: account.id,
        direction: "rising",
        watches: "usage",
        meter: "requests",
        threshold: 10,
        window_start: "2027-03-02T00:00:00.000Z",
        window_end: "2027-03-03T00:00:00.000Z",
      },
    });
    expect(first!.data.value).toBeGreaterThanOrEqual(10);
    await book({ minute: yesterday, units: 1n });
    expect(await system.toldBy(alert)).toHaveLength(2);
    await book({ minute: yesterday, units: 1n }, { minute: today, units: 100n });
    const told = await system.toldBy(alert);
    expect(told.map(({ data }) => [data.window_start, data.value])).toEqual([
      [first!.data.window_start, first!.data.value],
      ["2027-03-01T00:00:00.000Z", 10],
    ]);
    await vi.waitFor(
      () =>
        expect(
          system.published.filter(({ body }) => body.subject === alert.id).map(({ subject }) => subject),
        ).toEqual(Array(2).fill(`gatehouse.event.${account.id}.alert.reached`)),
      patiently,
    );
  });

  test("would be told of again, were it not written down that it was", async () => {
    const { create, book } = await system.organization();
    const minute = BigInt(Math.floor(Date.now() / 60_000));
    const alert = await create({ subject: daily(5n) });
    await book({ minute, units: 5n });
    expect(await system.toldBy(alert)).toHaveLength(1);
    await system.metering.query("DELETE FROM alert_window WHERE alert_id = $1", [alert.id]);
    await book({ minute, units: 1n });
    expect(await system.toldBy(alert)).toHaveLength(2);
  });

  test("that cannot be summed holds up no other alert", async () => {
    const { create, book } = await system.organization();
    const first = await create({ subject: daily(1n) });
    const broken = await create({ subject: daily(1n) });
    const last = await create({ subject: daily(1n) });
    const ids = [first.id, broken.id, last.id];
    await system.evaluated();
    await system.metering.query("UPDATE alert SET time_zone = 'No/Where' WHERE id = $1", [broken.id]);
    await book({ minute: BigInt(Math.floor(Date.now() / 60_000)), units: 1n });
    const told = () => system.published.map(({ body }) => body.subject).filter((id) => ids.includes(id));
    await vi.waitFor(() => expect(told().sort()).toEqual([first.id, last.id].sort()), patiently);
    await system.metering.query(
      "UPDATE alert SET time_zone = 'UTC', not_before = '-infinity' WHERE id = $1",
      [broken.id],
    );
    expect(await system.toldBy(broken)).toHaveLength(1);
    expect(await system.toldBy(first)).toHaveLength(1);
  });

  test("whose alert is looked at for long lets that be deleted when it was", async () => {
    const { create, master } = await system.organization();
    const { id } = await create({ subject: daily(1n) });
    await system.evaluated();
    const { metering, postgres } = system;
    const looking = new pg.Client({ connectionString: postgres.url, options: "-c search_path=metering" });
    await looking.connect();
    try {
      await looking.query("BEGIN");
      await looking.query("SELECT FROM alert WHERE id = $1 FOR UPDATE", [id]);
      const deleted = metering.alerts(master).deleteAlert({ alert: id }, timely);
      deleted.catch(() => {});
      const tries = new Set<string>();
      // A statement waits for a second.
      await expect
        .poll(async () => {
          const rows = await metering.query<{ xact_start: string }>(
            `SELECT xact_start::text FROM pg_stat_activity
             WHERE wait_event_type = 'Lock' AND query LIKE 'DELETE FROM alert WHERE%'`,
            [],
          );
          for (const row of rows) tries.add(row.xact_start);
          return tries.size;
        }, patiently)
        .toBe(2);
      await looking.query("COMMIT");
      await deleted;
    } finally {
      await looking.end();
    }
  });

  test("counts by the days of its zone, of 23 hours too", async () => {
    const { create, book } = await system.organization();
    system.moveTo("2025-03-01T00:00:00Z");
    const alert = await create({ subject: daily(10n, { timeZone: "America/Los_Angeles" }) });
    // The clocks go forward at 10:00Z: the day is from 08:00Z to 07:00Z.
    system.moveTo("2025-03-10T12:00:00Z");
    await book({ minute: minuteOf("2025-03-09T08:00Z"), units: 5n });
    await book({ minute: minuteOf("2025-03-09T07:59Z"), units: 5n });
    await book({ minute: minuteOf("2025-03-10T07:00Z"), units: 5n });
    expect(await system.toldBy(alert)).toEqual([]);
    await book({ minute: minuteOf("2025-03-10T06:59Z"), units: 5n });
    expect(await system.toldBy(alert)).toMatchObject([
      {
        data: {
          value: 10,
          window_start: "2025-03-09T08:00:00.000Z",
          window_end: "2025-03-10T07:00:00.000Z",
        },
      },
    ]);
  });

  test("is that of a key, of an account, or of those below it too; of its meter", async () => {
    const { account, child, master, create, book } = await system.organization();
    const minute = BigInt(Math.floor(Date.now() / 60_000));
    const onKey = await create({ node: { case: "key", value: master.id }, subject: daily(3n) });
    const own = await create({ subject: daily(3n) });
    const below = await create({ subject: daily(3n, { descendants: true }) });
    const tokens = await create({ subject: daily(3n, { meter: "tokens", descendants: true }) });
    await book({ minute, units: 3n, accountId: child.id });
    const told = async () =>
      (await Promise.all([onKey, own, below, tokens].map((alert) => system.toldBy(alert)))).map(
        ({ length }) => length,
      );
    expect(await told()).toEqual([0, 0, 1, 0]);
    await book({ minute, units: 3n, accountId: child.id, keyId: master.id, meter: "tokens" });
    expect(await told()).toEqual([0, 0, 1, 1]);
    await book({ minute, units: 3n, keyId: master.id });
    expect(await told()).toEqual([1, 1, 1, 1]);
    await book({ minute, units: 9n, accountId: account.id, outcome: "QUOTA_EXCEEDED" });
    expect(await told()).toEqual([1, 1, 1, 1]);
  });

  test("of accounts below is told to master keys, unless their account is isolated from those", async () => {
    const { account, master, create } = await system.organization();
    const subject = daily(3n, { descendants: true });
    const alert = (await create({ subject })).id;
    const denied = { code: "PERMISSION_DENIED", reason: "KEY_KIND_DENIED" };
    const refuses = async (key: TestKey) => {
      const alerts = system.metering.alerts(key);
      await expect(alerts.createAlert({ subject }, timely)).rejects.toMatchObject(denied);
      await expect(alerts.listAlertDeliveries({ alert }, timely)).rejects.toMatchObject(denied);
      await expect(alerts.redeliverAlert({ alert }, timely)).rejects.toMatchObject(denied);
    };
    const narrow = system.identity.key(account, "ACCOUNT");
    await refuses(narrow);
    await system.metering.alerts(narrow).createAlert({ subject: daily(3n) }, timely);
    system.identity.change({ ...account, isolated: true });
    await system.metering.follower.prove();
    await refuses(master);
  });

  test("is counted and told of no further than whoever made the alert still reaches", async () => {
    const { account, child, master, create, book } = await system.organization();
    const minute = BigInt(Math.floor(Date.now() / 60_000));
    const node = { case: "account", value: child.id } as const;
    const subject = daily(3n, { descendants: true });
    const theirs = await create({ subject });
    const onChild = await create({ node, subject });
    const { alert: providers } = await system.metering
      .alerts(system.root)
      .createAlert(
        { node: { case: "account", value: account.id }, subject, webhookUrl: system.receiver.url },
        timely,
      );
    const told = async () =>
      Promise.all([theirs, onChild, providers!].map(async (alert) => (await system.toldBy(alert)).length));
    system.identity.change({ ...account, isolated: true });
    await system.metering.follower.prove();
    await book({ minute, units: 5n, accountId: child.id });
    expect(await told()).toEqual([0, 0, 1]);
    await book({ minute, units: 3n });
    expect(await told()).toEqual([1, 0, 1]);
    await expect(system.metering.alerts(master).listAlerts({ node }, timely)).rejects.toMatchObject({
      code: "NOT_FOUND",
    });
    // Joined again, it hears of what is so by then.
    system.identity.change({ ...account, isolated: false });
    await system.metering.follower.prove();
    await book({ minute, units: 1n, accountId: child.id });
    expect(await told()).toEqual([1, 1, 1]);
  });

  test("that was there before the alert counts, and windows that were over do not", async () => {
    const { create, book } = await system.organization();
    system.moveTo("2027-03-02T12:00:00Z");
    await book({ minute: minuteOf("2027-03-02T01:00Z"), units: 20n });
    const alert = await create({ subject: daily(10n) });
    expect(await system.toldBy(alert)).toMatchObject([{ data: { value: 20 } }]);
    await book({ minute: minuteOf("2027-03-01T23:00Z"), units: 20n });
    expect(await system.toldBy(alert)).toHaveLength(1);
  });

  test("spent in a currency is told of", async () => {
    const { create, book } = await system.organization();
    const minute = BigInt(Math.floor(Date.now() / 60_000));
    const subject = {
      case: "spend",
      value: { currency: "USD", amount: 100n, window: Window.MONTH },
    } as const;
    const alert = await create({ subject });
    const priced = { minute, units: 1n, priceId: "prc_1" };
    await book({ ...priced, currency: "USD", cost: 99n }, { ...priced, currency: "credits", cost: 500n });
    expect(await system.toldBy(alert)).toEqual([]);
    await book({ ...priced, currency: "USD", cost: 1n });
    expect(await system.toldBy(alert)).toMatchObject([
      { type: "alert.reached", data: { watches: "spend", currency: "USD", value: 100, threshold: 100 } },
    ]);
  });
});

describe("a limit", () => {
  async function limited(units: bigint, window = Window.NEVER) {
    const stage = await system.organization();
    const node = { case: "account", value: stage.account.id } as const;
    const limits = system.metering.limits(system.root);
    const set = async (now: bigint) =>
      (await limits.setLimit({ node, allowance: { case: "quota", value: { units: now, window } } }, timely))
        .limit!;
    const limit = await set(units);
    const holder = new Holder(system.metering, `spender-${limit.id}`);
    return {
      ...stage,
      limit,
      set,
      reset: () => limits.resetLimit({ limit: limit.id }, timely),
      watch: (value: object, more: object = {}) =>
        stage.create({ subject: { case: "limit", value: { limit: limit.id, ...value } }, ...more }),
      async lend(most: number) {
        await holder.acquire([stage.account.id], { requests: 1 }, { want: most });
      },
      async spend(count: number) {
        for (let i = 0; i < count; i++) {
          expect(await holder.use([stage.account.id], [limit.id], 1)).toBe(true);
        }
        await holder.ship();
      },
    };
  }
  const share = (value: number) => ({ threshold: { case: "share", value } });
  const amount = (value: bigint) => ({ threshold: { case: "amount", value } });

  test("is reached by what is spent of it, not by what is lent, once until it is reset", async () => {
    const { account, limit, watch, lend, spend, reset } = await limited(10n);
    const alert = await watch(share(0.8));
    const other = await watch(amount(9n));
    await lend(10);
    await spend(7);
    expect(await system.toldBy(alert)).toEqual([]);
    await spend(1);
    const [told] = await system.toldBy(alert);
    expect(told).toMatchObject({
      account_id: account.id,
      data: { watches: "limit", limit_id: limit.id, share: 0.8, value: 8, threshold: 8, window_end: null },
    });
    await spend(2);
    expect(await system.toldBy(alert)).toHaveLength(1);
    expect(await system.toldBy(other)).toMatchObject([{ data: { threshold: 9 } }]);
    await reset();
    expect(await system.toldBy(alert)).toHaveLength(1);
    await spend(8);
    expect(await system.toldBy(alert)).toHaveLength(2);
    expect(await system.toldBy(other)).toHaveLength(1);
  });

  test("that is lowered to what is used is reached; raised again, it has fallen; each once", async () => {
    const { watch, spend, set } = await limited(100n, Window.MONTH);
    const rising = await watch(share(0.5));
    const falling = await watch(share(0.5), { direction: AlertDirection.FALLING });
    await spend(5);
    await set(10n);
    expect(await system.toldBy(rising)).toMatchObject([{ data: { value: 5, threshold: 5 } }]);
    expect(await system.toldBy(falling)).toEqual([]);
    await set(100n);
    expect(await system.toldBy(falling)).toMatchObject([
      { type: "alert.fallen", data: { value: 5, threshold: 50, direction: "falling" } },
    ]);
    await set(10n);
    await set(100n);
    expect(await system.toldBy(rising)).toHaveLength(1);
    expect(await system.toldBy(falling)).toHaveLength(1);
  });
});

describe("a balance", () => {
  async function wallet() {
    const stage = await system.organization();
    const credits = system.metering.credits(
      system.identity.key(system.identity.root, "MASTER", undefined, ["fund-manager"]),
    );
    for (const { follower } of system.replicas) await follower.prove();
    const common = { account: stage.account.id, currency: "USD" };
    return {
      ...stage,
      topUp: (amount: bigint) => credits.topUp({ ...common, amount }, timely),
      take: (amount: bigint) => credits.adjust({ ...common, amount: -amount, reason: "test" }, timely),
      watch: (amount: bigint, more: object = {}) =>
        stage.create({ subject: { case: "balance", value: { currency: "USD", amount } }, ...more }),
    };
  }

  test("that falls is told of, and again after it has risen; also where it rises before anybody looks", async () => {
    const { topUp, take, watch } = await wallet();
    const low = await watch(50n);
    const high = await watch(50n, { direction: AlertDirection.RISING });
    // It was not above before.
    expect(await system.toldBy(low)).toEqual([]);
    await topUp(100n);
    expect(await system.toldBy(low)).toEqual([]);
    expect(await system.toldBy(high)).toMatchObject([{ type: "alert.reached", data: { value: 100 } }]);
    await take(50n);
    expect(await system.toldBy(low)).toEqual([]);
    await take(1n);
    expect(await system.toldBy(low)).toMatchObject([
      { type: "alert.fallen", data: { watches: "balance", currency: "USD", value: 49, threshold: 50 } },
    ]);
    await take(1n);
    expect(await system.toldBy(low)).toHaveLength(1);
    for (let i = 0; i < 3; i++) {
      await topUp(2n);
      await take(2n);
    }
    expect(await system.toldBy(low)).toHaveLength(4);
    expect(await system.toldBy(high)).toHaveLength(4);
  });
});
