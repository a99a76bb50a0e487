import { signatureOf } from "@gatehouse/events";
import { mintId } from "@gatehouse/keys";
import { type Alert, AlertDeliveryStatus, AlertDirection, Window } from "@gatehouse/proto/metering";
import type { Failure } from "@gatehouse/service/failure";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { MAX_ALERTS } from "../src/domain/alert.ts";
import { type Alerting, patiently, type Stage, startAlerting, timely } from "./alerting.ts";
import type { TestKey } from "./fixture.ts";

let system: Alerting;

beforeAll(async () => {
  system = await startAlerting(1);
});
afterAll(() => system?.stop());
beforeEach(() => {
  system.moveTo(undefined);
  system.receiver.status = 200;
  system.receiver.received.length = 0;
});

const subject = { case: "usage", value: { amount: 1n, window: Window.DAY } } as const;
const minute = () => BigInt(Math.floor(Date.now() / 60_000));
const alertsOf = (key: TestKey) => system.metering.alerts(key);
const outcomeOf = (call: Promise<unknown>) =>
  call.then(
    () => ["OK"],
    ({ code, reason, message }: Failure) => [code, reason, message],
  );
const fieldsOf = (call: Promise<unknown>) =>
  call.then(
    () => [],
    ({ violations }: Failure) => violations.map(({ field }) => field),
  );

async function deliveriesOf({ master }: Stage, alert: Alert, status = AlertDeliveryStatus.UNSPECIFIED) {
  const answer = await alertsOf(master).listAlertDeliveries({ alert: alert.id, status }, timely);
  return answer.deliveries;
}

describe("a webhook", () => {
  test("gets what is told, signed with a secret that is shown once and kept sealed", async () => {
    const { account, master, book } = await system.organization();
    const wanted = { name: "one", subject, webhookUrl: system.receiver.url };
    const { alert, secret } = await alertsOf(master).createAlert(wanted, timely);
    expect(secret).toMatch(/^whsec_[\w-]{43}$/);
    const again = await alertsOf(master).createAlert(wanted, timely);
    expect(again).toMatchObject({ secret: "", alert: { id: alert!.id } });
    await book({ minute: minute(), units: 1n });
    const [{ headers, text, body }] = (await system.receiver.take(1)) as [never];
    const { "gatehouse-signature": signature, ...more } = headers as Record<string, string>;
    expect(signature).toBe(signatureOf(text, secret, Number(/^t=(\d+),/.exec(signature!)?.[1])));
    expect(more).toMatchObject({
      "gatehouse-event": "alert.reached",
      "gatehouse-delivery": (body as { id: string }).id,
    });
    expect(body).toMatchObject({ account_id: account.id, subject: alert!.id, data: { name: "one" } });
    const rows = await system.metering.query<{ row: string }>(
      "SELECT w::text AS row FROM webhook w UNION ALL SELECT a::text FROM audit_event a UNION ALL SELECT d::text FROM delivery d",
      [],
    );
    expect(rows.some(({ row }) => row.includes("gatehouse.alerts.create"))).toBe(true);
    expect(rows.some(({ row }) => row.includes(secret.slice(6)))).toBe(false);
    const audited = rows.filter(({ row }) => row.includes("gatehouse.alerts.create"));
    expect(audited.some(({ row }) => row.includes("not-shown"))).toBe(false);
    const { alerts } = await alertsOf(master).listAlerts({}, timely);
    expect(alerts).toMatchObject([{ id: alert!.id, webhookUrl: system.receiver.url }]);
    expect(alerts[0]!.lastToldAt).toBeDefined();
  });

  test("that fails is tried again, later each time, until it takes it", async () => {
    const stage = await system.organization();
    const alert = await stage.create({ subject });
    system.receiver.status = 503;
    await stage.book({ minute: minute(), units: 1n });
    const [first] = await system.receiver.take(1);
    await vi.waitFor(async () => {
      expect(await deliveriesOf(stage, alert, AlertDeliveryStatus.PENDING)).toMatchObject([
        { attempts: 1, lastError: "HTTP 503", eventType: "alert.reached" },
      ]);
    }, patiently);
    system.receiver.status = 204;
    system.metering.time.offsetMs = 13_000;
    const [second] = await system.receiver.take(1);
    expect(second!.text).toBe(first!.text);
    await vi.waitFor(async () => {
      expect(await deliveriesOf(stage, alert)).toMatchObject([
        { attempts: 2, lastError: "", status: AlertDeliveryStatus.DELIVERED },
      ]);
    }, patiently);
  });

  test("that is gone has its deliveries in the dead-letter list, and gets them when that is asked for", async () => {
    const stage = await system.organization();
    const alert = await stage.create({ subject });
    system.receiver.status = 410;
    await stage.book({ minute: minute(), units: 1n });
    await stage.book({ minute: minute() - 1440n, units: 1n });
    await system.receiver.take(1);
    const [dead] = await vi.waitFor(async () => {
      const found = await deliveriesOf(stage, alert, AlertDeliveryStatus.DEAD);
      expect(found).toHaveLength(1);
      return found;
    }, patiently);
    expect(dead).toMatchObject({ attempts: 1, lastError: "HTTP 410" });
    system.receiver.status = 200;
    const alerts = alertsOf(stage.master);
    const redeliver = (eventIds: string[] = []) =>
      alerts.redeliverAlert({ alert: alert.id, eventIds }, timely);
    expect((await redeliver([mintId("evt")])).redelivered).toBe(0);
    expect((await redeliver([dead!.eventId])).redelivered).toBe(1);
    expect((await system.receiver.take(1))[0]!.body.id).toBe(dead!.eventId);
    await vi.waitFor(async () => {
      expect(await deliveriesOf(stage, alert, AlertDeliveryStatus.DELIVERED)).toHaveLength(1);
    }, patiently);
    expect((await redeliver()).redelivered).toBe(0);
    const audit = await system.metering.query<{ after: object }>(
      "SELECT after FROM audit_event WHERE action = 'gatehouse.alerts.create' AND after ? 'redelivered' AND target_id = $1",
      [alert.id],
    );
    expect(audit).toEqual([{ after: { redelivered: 1 } }]);
  });

  test("goes with its alert, and what was on its way to it", async () => {
    const stage = await system.organization();
    const alert = await stage.create({ subject });
    system.receiver.status = 503;
    await stage.book({ minute: minute(), units: 1n });
    await system.receiver.take(1);
    const alerts = alertsOf(stage.master);
    await alerts.deleteAlert({ alert: alert.id }, timely);
    expect((await outcomeOf(alerts.deleteAlert({ alert: alert.id }, timely)))[0]).toBe("NOT_FOUND");
    expect((await alerts.listAlerts({}, timely)).alerts).toEqual([]);
    const left = await system.metering.query("SELECT FROM webhook WHERE name = $1", [alert.id]);
    expect(left).toEqual([]);
  });
});

describe("a request", () => {
  test("that is wrong has every bad field named", async () => {
    const { master } = await system.organization();
    const create = (request: object) => fieldsOf(alertsOf(master).createAlert(request, timely));
    expect(
      await create({
        name: "x".repeat(101),
        direction: 9,
        webhookUrl: "ftp://x",
        subject: {
          case: "usage",
          value: { meter: "none", amount: 0n, window: Window.NEVER, timeZone: "+01:00" },
        },
      }),
    ).toEqual([
      "name",
      "direction",
      "webhook_url",
      "usage.window",
      "usage.time_zone",
      "usage.amount",
      "usage.meter",
    ]);
    expect(await create({})).toEqual(["limit"]);
    expect(await create({ subject: { case: "limit", value: {} } })).toEqual(["limit.limit", "limit.share"]);
    for (const value of [0, -1, 101, Number.NaN, Number.POSITIVE_INFINITY]) {
      const limit = { limit: mintId("lim"), threshold: { case: "share", value } };
      expect(await create({ subject: { case: "limit", value: limit } })).toEqual(["limit.share"]);
    }
    const node = { case: "key", value: master.id };
    const balance = { case: "balance", value: { currency: "a b", amount: -(2n ** 60n) } };
    expect(await create({ node, subject: balance })).toEqual([
      "balance.currency",
      "balance",
      "balance.amount",
    ]);
    const below = { ...subject, value: { ...subject.value, descendants: true } };
    expect(await create({ node, subject: below })).toEqual(["usage.descendants"]);
    const alerts = alertsOf(master);
    const deliveries = alerts.listAlertDeliveries(
      { alert: "", status: 9 as AlertDeliveryStatus, pageSize: 501, pageToken: "x" },
      timely,
    );
    expect(await fieldsOf(deliveries)).toEqual(["alert", "page_size", "status", "page_token"]);
    const redeliver = alerts.redeliverAlert({ alert: "\0", eventIds: ["evt_"] }, timely);
    expect(await fieldsOf(redeliver)).toEqual(["alert", "event_ids[0]"]);
  });

  test("for a rate, another node's limit or a taken name is refused", async () => {
    const { account, child, master } = await system.organization();
    const limits = system.metering.limits(system.root);
    const set = async (allowance: object) =>
      (
        await limits.setLimit(
          { node: { case: "account", value: account.id }, allowance: allowance as never },
          timely,
        )
      ).limit!.id;
    const rate = await set({ case: "rate", value: { units: 1n, interval: { seconds: 1n, nanos: 0 } } });
    const quota = await set({ case: "quota", value: { units: 1n, window: Window.DAY } });
    const alerts = alertsOf(master);
    const watch = (limit: string) =>
      ({ case: "limit", value: { limit, threshold: { case: "share", value: 0.5 } } }) as const;
    expect(await fieldsOf(alerts.createAlert({ subject: watch(rate) }, timely))).toEqual(["limit.limit"]);
    const node = { case: "account", value: child.id } as const;
    expect(await fieldsOf(alerts.createAlert({ node, subject: watch(quota) }, timely))).toEqual([
      "limit.limit",
    ]);
    const { alert } = await alerts.createAlert({ name: "half", subject: watch(quota) }, timely);
    expect(alert).toMatchObject({
      nodeId: account.id,
      subject: watch(quota),
      direction: AlertDirection.RISING,
    });
    const other = alerts.createAlert({ name: "half", subject }, timely);
    expect((await outcomeOf(other)).slice(0, 2)).toEqual(["ALREADY_EXISTS", "NAME_TAKEN"]);
  });

  test("for one alert more than an account may have is refused, its keys' counted", async () => {
    const { master } = await system.organization();
    const alerts = alertsOf(master);
    const node = { case: "key", value: master.id } as const;
    const outcomes = await Promise.all(
      Array.from({ length: MAX_ALERTS + 5 }, (_, n) =>
        outcomeOf(alerts.createAlert({ subject, ...(n % 2 === 0 && { node }) }, timely)),
      ),
    );
    const refused = outcomes.filter(([code]) => code !== "OK").map((outcome) => outcome.slice(0, 2));
    expect(refused).toEqual(Array(5).fill(["RESOURCE_EXHAUSTED", "PLAN_LIMIT"]));
    const pages: string[] = [];
    for (let pageToken = ""; ; ) {
      const page = await alerts.listAlerts({ node, pageSize: 20, pageToken }, timely);
      pages.push(...page.alerts.map(({ id }) => id));
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
    }
    expect(pages).toEqual([...new Set(pages)].sort());
  });

  test("about what is foreign is answered as about what is not there", async () => {
    const [mine, theirs] = [await system.organization(), await system.organization()];
    const alert = await theirs.create({ subject });
    const { limit } = await system.metering.limits(system.root).setLimit(
      {
        node: { case: "account", value: theirs.account.id },
        allowance: { case: "quota", value: { units: 1n, window: Window.DAY } },
      },
      timely,
    );
    const alerts = alertsOf(mine.master);
    const answers = (alertId: string, limitId: string, account: string, key: string) =>
      Promise.all(
        [
          alerts.deleteAlert({ alert: alertId }, timely),
          alerts.listAlertDeliveries({ alert: alertId }, timely),
          alerts.redeliverAlert({ alert: alertId }, timely),
          alerts.createAlert(
            {
              subject: {
                case: "limit",
                value: { limit: limitId, threshold: { case: "amount", value: 1n } },
              },
            },
            timely,
          ),
          alerts.createAlert({ node: { case: "account", value: account }, subject }, timely),
          alerts.createAlert({ node: { case: "key", value: key }, subject }, timely),
          alerts.listAlerts({ node: { case: "account", value: account } }, timely),
        ].map(outcomeOf),
      );
    const foreign = await answers(alert.id, limit!.id, theirs.account.id, theirs.master.id);
    expect(foreign).toEqual(await answers(mintId("alr"), mintId("lim"), mintId("acc"), mintId("key")));
    expect(new Set(foreign.map(([code]) => code))).toEqual(new Set(["NOT_FOUND"]));
    expect((await alertsOf(theirs.master).listAlerts({}, timely)).alerts).toHaveLength(1);
  });
});
