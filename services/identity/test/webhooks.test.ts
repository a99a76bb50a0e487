import { signatureOf } from "@gatehouse/events";
import { type Received, type Receiver, startReceiver } from "@gatehouse/events/test-receiver";
import { DeliveryStatus } from "@gatehouse/proto/identity";
import { createLog, localBus } from "@gatehouse/service";
import { busy } from "@gatehouse/service/failure";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { AuditEvent } from "../src/domain/events/audit.ts";
import type { Change } from "../src/domain/store.ts";
import { badFieldsOf, type Caller, reasonOf, type System, startSystem, timely } from "./system.ts";

const patiently = { timeout: 15_000, interval: 20 };

const bus = localBus({ log: createLog({ name: "test", level: "silent" }) });
const published: { subject: string; type: string }[] = [];
let system: System;
let receiver: Receiver;
let nowMs = Date.now();
/** Makes the next change fail after all of its work. */
let failing = false;

beforeAll(async () => {
  bus.subscribe("gatehouse.event.>", (payload, subject) => {
    published.push({ subject, type: JSON.parse(Buffer.from(payload).toString()).type });
  });
  system = await startSystem(
    {
      bus,
      nowMs: () => nowMs,
      wrapStore: (store) =>
        Object.assign(Object.create(store), {
          recordRefusal: (event: AuditEvent) => store.recordRefusal(event),
          change: <T>(work: (change: Change) => Promise<T>) =>
            store.change(async (change) => {
              const value = await work(change);
              if (!failing) return value;
              failing = false;
              throw busy("the last moment");
            }),
        }),
    },
    { GATEHOUSE_WEBHOOK_INSECURE: "true" },
  );
  receiver = await startReceiver();
});
afterAll(async () => {
  await system?.stop();
  receiver?.stop();
  await bus.close();
});
beforeEach(() => {
  receiver.status = 200;
  receiver.received.length = 0;
  published.length = 0;
});

let organizations = 0;
async function organization(): Promise<{ id: string; keyId: string; secret: string; master: Caller }> {
  const { account, key, secret } = await system.root.accounts.createAccount(
    { name: `Webhooks ${++organizations}` },
    timely,
  );
  return { id: account!.id, keyId: key!.id, secret, master: system.as(secret) };
}

const typesOf = (received: readonly Received[]) => received.map(({ body }) => body.type).sort();

async function deliveriesOf(master: Caller, webhook: string, status?: DeliveryStatus) {
  const { deliveries } = await master.webhooks.listDeliveries({ webhook, ...(status && { status }) }, timely);
  return deliveries;
}

describe("events", () => {
  it("reach a webhook signed, with all that they say and no secret", async () => {
    const { id, master } = await organization();
    const { secret } = await master.webhooks.createWebhook({ name: "all", url: receiver.url }, timely);
    const { key, secret: credential } = await master.keys.createKey(
      { name: "bot", labels: { a: "b" } },
      timely,
    );
    const [delivery] = await receiver.take(1);
    const { headers, text, body } = delivery!;
    expect(body).toMatchObject({
      id: headers["gatehouse-delivery"],
      type: "key.created",
      at: new Date(nowMs).toISOString(),
      account_id: id,
      organization_id: id,
      subject: key!.id,
      data: { account_id: id, name: "bot", kind: "ACCOUNT", status: "ENABLED", labels: { a: "b" } },
    });
    const signature = String(headers["gatehouse-signature"]);
    expect(signature).toBe(signatureOf(text, secret, Number(/^t=(\d+),/.exec(signature)?.[1])));
    expect(headers["gatehouse-event"]).toBe("key.created");
    expect(text).not.toContain(credential);
    expect(text).not.toMatch(/hash|sealed/i);
  });

  it("go to every account above that listens, to what it listens to, and to nobody else", async () => {
    const [one, other] = [await organization(), await organization()];
    const hook = (name: string, events: string[] = []) => ({ name, url: receiver.url, events });
    await system.root.webhooks.createWebhook(hook("everybody", ["account.*", "*.revoked"]), timely);
    await one.master.webhooks.createWebhook(hook("mine", ["key.created", "account.created"]), timely);
    await other.master.webhooks.createWebhook(hook("others"), timely);
    const lab = await one.master.accounts.createAccount({ name: "Lab" }, timely);
    await one.master.keys.revokeKey({ key: lab.key!.id }, timely);
    const seen = await receiver.take(4);
    expect(typesOf(seen)).toEqual(["account.created", "account.created", "key.created", "key.revoked"]);
    const ofOneEvent = seen.filter(({ body }) => body.type === "account.created");
    expect(new Set(ofOneEvent.map(({ body }) => body.id)).size).toBe(1);
    expect(seen.every(({ body }) => body.account_id === lab.account!.id)).toBe(true);
    expect(await deliveriesOf(other.master, "others")).toEqual([]);
    await system.root.webhooks.deleteWebhook({ webhook: "everybody" }, timely);
  });

  it("of the accounts below are for master keys, as in the audit", async () => {
    const { master } = await organization();
    const scopes = ["gatehouse.webhooks.**", "gatehouse.audit.read"];
    const made = await master.keys.createKey({ name: "narrow", scopes }, timely);
    const narrow = system.as(made.secret);
    const hook = (name: string) => ({ name, url: receiver.url, events: ["account.created", "key.disabled"] });
    expect((await narrow.webhooks.createWebhook(hook("own"), timely)).webhook!.descendants).toBe(false);
    expect((await master.webhooks.createWebhook(hook("all"), timely)).webhook!.descendants).toBe(true);
    await master.webhooks.createWebhook({ ...hook("said"), descendants: false }, timely);
    await master.accounts.createAccount({ name: "Lab" }, timely);
    const typesAt = async (webhook: string) =>
      (await deliveriesOf(master, webhook)).map(({ eventType }) => eventType);
    expect([await typesAt("own"), await typesAt("said")]).toEqual([[], []]);
    expect(await typesAt("all")).toEqual(["account.created"]);
    await master.keys.disableKey({ key: made.key!.id }, timely);
    await master.keys.enableKey({ key: made.key!.id }, timely);
    for (const name of ["own", "said"]) expect(await typesAt(name)).toEqual(["key.disabled"]);

    // Nor does it come by what a master key made.
    const { webhooks } = narrow;
    const denied = [
      webhooks.createWebhook({ ...hook("mine"), descendants: true }, timely),
      webhooks.updateWebhook({ webhook: "own", descendants: true }, timely),
      webhooks.updateWebhook({ webhook: "all", url: "https://elsewhere.example/" }, timely),
      webhooks.updateWebhook({ webhook: "all", descendants: false }, timely),
      webhooks.redeliverEvents({ webhook: "all" }, timely),
      webhooks.listDeliveries({ webhook: "all" }, timely),
      webhooks.deleteWebhook({ webhook: "all" }, timely),
    ].map(reasonOf);
    expect(new Set(await Promise.all(denied))).toEqual(new Set(["KEY_KIND_DENIED"]));
    expect(await reasonOf(webhooks.createWebhook(hook("all"), timely))).toBe("NAME_TAKEN");
    const less = await master.webhooks.updateWebhook({ webhook: "all", descendants: false }, timely);
    expect(less.webhook!.descendants).toBe(false);
    expect(await reasonOf(webhooks.deleteWebhook({ webhook: "all" }, timely))).toBe("OK");
  });

  it("of the accounts below stay from an account that is isolated from them", async () => {
    const { id, master } = await organization();
    await master.webhooks.createWebhook(
      { name: "all", url: receiver.url, events: ["account.created"] },
      timely,
    );
    await master.accounts.createAccount({ name: "Before" }, timely);
    await receiver.take(1);
    await system.sql.query("UPDATE account SET isolated = true WHERE id = $1", [id]);
    await system.root.accounts.createAccount({ parent: id, name: "After" }, timely);
    expect(await deliveriesOf(master, "all")).toHaveLength(1);
  });

  it("are written with the change or not at all, and the bus hears of them after it", async () => {
    const { id, master } = await organization();
    await master.webhooks.createWebhook({ name: "all", url: receiver.url }, timely);
    await vi.waitFor(() => expect(published.map(({ type }) => type)).toContain("account.created"), patiently);
    published.length = 0;
    failing = true;
    expect(await reasonOf(master.keys.createKey({ name: "never" }, timely))).toBe("BUSY");
    expect(await reasonOf(master.keys.createKey({ name: "first" }, timely))).toBe("NAME_TAKEN");
    expect(await deliveriesOf(master, "all")).toEqual([]);
    expect(published).toEqual([]);
    await master.keys.createKey({ name: "now" }, timely);
    await vi.waitFor(
      () =>
        expect(published).toEqual([{ subject: `gatehouse.event.${id}.key.created`, type: "key.created" }]),
      patiently,
    );
    expect(typesOf(await receiver.take(1))).toEqual(["key.created"]);
  });
});

describe("deliveries", () => {
  it("are tried again, later each time, until they are taken", async () => {
    const { master } = await organization();
    await master.webhooks.createWebhook({ name: "flaky", url: receiver.url }, timely);
    receiver.status = 503;
    await master.keys.createKey({ name: "a" }, timely);
    const [first] = await receiver.take(1);
    await vi.waitFor(async () => {
      const [delivery] = await deliveriesOf(master, "flaky", DeliveryStatus.PENDING);
      expect(delivery).toMatchObject({ attempts: 1, lastError: "HTTP 503" });
      const waitMs = Number(delivery!.nextAttemptAt!.seconds) * 1000 - nowMs;
      expect(waitMs).toBeGreaterThan(6000);
      expect(waitMs).toBeLessThan(13_000);
    }, patiently);
    receiver.status = 204;
    nowMs += 13_000;
    const [again] = await receiver.take(1);
    expect(again!.text).toBe(first!.text);
    await vi.waitFor(async () => {
      const [delivery] = await deliveriesOf(master, "flaky", DeliveryStatus.DELIVERED);
      expect(delivery).toMatchObject({ attempts: 2, lastError: "", eventType: "key.created" });
      expect(delivery!.nextAttemptAt).toBeUndefined();
    }, patiently);
  });

  it("are given up where the receiver is gone, are listed then, and go out again when asked for", async () => {
    const { id, keyId, master } = await organization();
    await master.webhooks.createWebhook({ name: "gone", url: receiver.url }, timely);
    receiver.status = 410;
    await master.keys.createKey({ name: "a" }, timely);
    await master.keys.createKey({ name: "b" }, timely);
    await receiver.take(2);
    const dead = await vi.waitFor(async () => {
      const found = await deliveriesOf(master, "gone", DeliveryStatus.DEAD);
      expect(found).toHaveLength(2);
      return found;
    }, patiently);
    const [first, rest] = [
      await master.webhooks.listDeliveries({ webhook: "gone", pageSize: 1 }, timely),
      { webhook: "gone", pageSize: 1 },
    ];
    const second = await master.webhooks.listDeliveries({ ...rest, pageToken: first.nextPageToken }, timely);
    expect([...first.deliveries, ...second.deliveries].map(({ eventId }) => eventId)).toEqual(
      dead.map(({ eventId }) => eventId),
    );
    expect(second.nextPageToken).toBe("");
    receiver.status = 200;
    const { eventId } = dead[1]!;
    const one = await master.webhooks.redeliverEvents({ webhook: "gone", eventIds: [eventId] }, timely);
    expect(one.redelivered).toBe(1);
    expect((await receiver.take(1))[0]!.body.id).toBe(eventId);
    const all = await master.webhooks.redeliverEvents({ webhook: "gone" }, timely);
    expect(all.redelivered).toBe(1);
    expect((await receiver.take(1))[0]!.body.id).toBe(dead[0]!.eventId);
    // On record, each that brought something again.
    expect((await master.webhooks.redeliverEvents({ webhook: "gone" }, timely)).redelivered).toBe(0);
    const { events } = await master.audit.listEvents({ action: "gatehouse.webhooks.update" }, timely);
    const row = {
      actorKeyId: keyId,
      accountId: id,
      target: "gone",
      outcome: "OK",
      after: { redelivered: 1 },
    };
    expect(events).toMatchObject([row, row]);
  });

  it("wait while the webhook is paused, and go with it when it is deleted", async () => {
    const { master } = await organization();
    await master.webhooks.createWebhook({ name: "paused", url: receiver.url, events: ["key.*"] }, timely);
    await master.webhooks.updateWebhook({ webhook: "paused", paused: true }, timely);
    await master.keys.createKey({ name: "a" }, timely);
    expect(await deliveriesOf(master, "paused", DeliveryStatus.PENDING)).toMatchObject([{ attempts: 0 }]);
    await master.webhooks.createWebhook({ name: "running", url: receiver.url }, timely);
    await master.keys.createKey({ name: "b" }, timely);
    expect(await receiver.take(1)).toHaveLength(1);
    const go = { webhook: "paused", updateMask: { paths: ["paused"] } };
    expect((await master.webhooks.updateWebhook(go, timely)).webhook!.paused).toBe(false);
    await receiver.take(2);

    await master.webhooks.updateWebhook({ webhook: "paused", paused: true }, timely);
    await master.keys.createKey({ name: "c" }, timely);
    await receiver.take(1);
    await master.webhooks.deleteWebhook({ webhook: "paused" }, timely);
    await master.webhooks.createWebhook({ name: "paused", url: receiver.url }, timely);
    expect(await deliveriesOf(master, "paused")).toEqual([]);
  });

  it("to a receiver that is down leave room for those to others", async () => {
    const { master } = await organization();
    const nowhere = "http://127.0.0.1:1/";
    await master.webhooks.createWebhook({ name: "down", url: nowhere, events: ["key.created"] }, timely);
    await system.sql.query(
      `INSERT INTO delivery SELECT w.id, 'evt_' || lpad(n::text, 20, '0'), 'key.created', $1, '{}', 'PENDING', 0, '', $1
       FROM webhook w, generate_series(1, 2000) n WHERE w.url = $2`,
      [new Date(nowMs), nowhere],
    );
    await master.webhooks.createWebhook({ name: "up", url: receiver.url }, timely);
    await master.keys.createKey({ name: "a" }, timely);
    await receiver.take(1);
    await master.webhooks.deleteWebhook({ webhook: "down" }, timely);
  });
});

describe("a webhook", () => {
  it("has a secret that is shown once, kept sealed, and nowhere else", async () => {
    const { master, secret: key } = await organization();
    const wanted = { name: "one", url: receiver.url };
    const answer = await system.json(key, "WebhookService/CreateWebhook", wanted);
    const { secret } = JSON.parse(answer.body) as { secret: string };
    expect(secret).toMatch(/^whsec_[\w-]{43}$/);
    const again = await master.webhooks.createWebhook(wanted, timely);
    expect(again).toMatchObject({ secret: "", webhook: { name: "one", url: receiver.url } });
    const shown = await master.webhooks.listWebhooks({}, timely);
    expect(shown.webhooks).toHaveLength(1);
    const { rows } = await system.sql.query<{ row: string }>(
      "SELECT w::text AS row FROM webhook w UNION ALL SELECT a::text FROM audit_event a",
    );
    expect(rows.some(({ row }) => row.includes("webhooks.create"))).toBe(true);
    expect(rows.some(({ row }) => row.includes(secret.slice(6)))).toBe(false);
    const audited = rows.filter(({ row }) => row.includes("gatehouse.webhooks."));
    expect(audited.some(({ row }) => row.includes("not-shown"))).toBe(false);
    const other = master.webhooks.createWebhook({ ...wanted, events: ["key.silent"] }, timely);
    expect(await reasonOf(other)).toBe("NAME_TAKEN");
  });

  it("is one of twenty at most", async () => {
    const { master } = await organization();
    for (let n = 1; n <= 20; n++) {
      await master.webhooks.createWebhook({ name: `hook-${n}`, url: "https://example.com/" }, timely);
    }
    const one = { name: "one-more", url: "https://example.com/" };
    expect(await reasonOf(master.webhooks.createWebhook(one, timely))).toBe("PLAN_LIMIT");
  });

  it("names every bad field at once", async () => {
    const bad = system.root.webhooks.createWebhook(
      { name: "No", url: "ftp://example.com", events: ["key.created", "key.nothing", "*.*.*", "KEY.*"] },
      timely,
    );
    expect(await badFieldsOf(bad)).toEqual(["name", "url", "events[1]", "events[2]", "events[3]"]);
    for (const url of [
      "https://user:pass@example.com/",
      "https://example.com/#a",
      "//x",
      "",
      "x".repeat(1e6),
    ]) {
      expect(await badFieldsOf(system.root.webhooks.createWebhook({ name: "x", url }, timely))).toContain(
        "url",
      );
    }
    expect(await badFieldsOf(system.root.webhooks.updateWebhook({ webhook: "x" }, timely))).toEqual([
      "update_mask",
    ]);
  });

  it("of another organization is not there, nor anything of it", async () => {
    const [one, other] = [await organization(), await organization()];
    await one.master.webhooks.createWebhook({ name: "mine", url: receiver.url }, timely);
    const answers = (account: string) =>
      Promise.all([
        system.json(other.secret, "WebhookService/GetWebhook", { account, webhook: "mine" }),
        system.json(other.secret, "WebhookService/ListDeliveries", { account, webhook: "mine" }),
        system.json(other.secret, "WebhookService/RedeliverEvents", { account, webhook: "mine" }),
        system.json(other.secret, "WebhookService/DeleteWebhook", { account, webhook: "mine" }),
        system.json(other.secret, "WebhookService/CreateWebhook", { account, name: "x", url: receiver.url }),
      ]);
    const foreign = await answers(one.id);
    expect(foreign).toEqual(await answers("acc_00000000000000000000"));
    expect(foreign.every(({ status }) => status === 404)).toBe(true);
    await one.master.webhooks.getWebhook({ webhook: "mine" }, timely);
  });
});
