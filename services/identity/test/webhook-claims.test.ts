import { openDatabase } from "@gatehouse/changefeed";
import { type ClaimedDelivery, DeliveryStore } from "@gatehouse/events";
import { DELIVERIES_KEPT_MS } from "@gatehouse/events/webhook";
import { afterAll, beforeAll, beforeEach, expect, it, vi } from "vitest";
import { type System, startSystem, timely } from "./system.ts";

const patiently = { timeout: 15_000, interval: 20 };

/** The system's own loop stands still here; the stores of the test are replicas whose clocks are on. */
const startMs = Date.now();
const due = 1000;
const taken = { taken: true, final: false, error: "" };
const failed = { taken: false, final: false, error: "HTTP 500" };

let system: System;
let dataSource: Awaited<ReturnType<typeof openDatabase>>;
let nowMs: number;
let one: DeliveryStore;
let other: DeliveryStore;

beforeAll(async () => {
  system = await startSystem({ nowMs: () => startMs });
  const { databaseUrl: url } = system;
  dataSource = await openDatabase({ url, schema: "identity", entities: [], migrations: [] });
  [one, other] = [new DeliveryStore(dataSource, () => nowMs), new DeliveryStore(dataSource, () => nowMs)];
});
afterAll(async () => {
  await dataSource?.destroy();
  await system?.stop();
});
beforeEach(async () => {
  nowMs = startMs + due;
  await system.sql.query("DELETE FROM delivery; DELETE FROM webhook");
});

async function pending(name: string, count: number): Promise<void> {
  await system.root.webhooks.createWebhook({ name, url: `https://${name}.example/` }, timely);
  await system.sql.query(
    `INSERT INTO delivery SELECT w.id, 'evt_' || lpad(n::text, 20, '0'), 'key.created', $1, '{}', 'PENDING', 0, '', $2
     FROM webhook w, generate_series(1, $3::int) n WHERE w.name = $4`,
    [new Date(startMs), new Date(startMs + due), count, name],
  );
}

const claim = (store: DeliveryStore, limit = 100, perReceiver = 100) =>
  store.claim({ limit, perReceiver, room: new Map() });
const names = (claimed: readonly ClaimedDelivery[]) => claimed.map(({ name }) => name).sort();

it("a delivery is claimed by one replica, whatever they do at once", async () => {
  await pending("a", 60);
  const rounds = await Promise.all(
    Array.from({ length: 12 }, (_, n) => claim(n % 2 === 0 ? one : other, 10, 10)),
  );
  const ids = rounds.flat().map(({ eventId }) => eventId);
  expect(ids.length).toBeGreaterThanOrEqual(10);
  expect(new Set(ids).size).toBe(ids.length);
});

it("what a dead replica claimed is another's once the claim is over, and its late word counts for nothing", async () => {
  await pending("a", 1);
  const [lost] = await claim(one);
  expect(await claim(other)).toEqual([]);
  nowMs += 30_000;
  const [again] = await claim(other);
  expect(again).toMatchObject({ eventId: lost!.eventId, attempts: 2 });
  await one.settle(lost!, taken);
  await other.settle(again!, failed);
  const { rows } = await system.sql.query("SELECT status, last_error FROM delivery");
  expect(rows).toEqual([{ status: "PENDING", last_error: "HTTP 500" }]);
});

it("a receiver with thousands waiting takes its own room and no more, a paused one none", async () => {
  await pending("crowded", 3000);
  await pending("quiet", 1);
  await pending("paused", 5);
  await system.sql.query("UPDATE webhook SET paused = true WHERE name = 'paused'");
  expect(names(await claim(one, 64, 4))).toEqual([...Array(4).fill("crowded"), "quiet"]);
  const { rows } = await system.sql.query("SELECT id FROM webhook WHERE name = 'crowded'");
  expect(await one.claim({ limit: 64, perReceiver: 4, room: new Map([[rows[0].id, 0]]) })).toEqual([]);
});

it("a delivery is dead after its sixteenth attempt, or when it is refused for good", async () => {
  await pending("a", 2);
  const [first, second] = await claim(one);
  await one.settle(first!, { ...failed, final: true });
  await system.sql.query("UPDATE delivery SET attempts = 16 WHERE event_id = $1", [second!.eventId]);
  await one.settle({ ...second!, attempts: 16 }, failed);
  const { rows } = await system.sql.query("SELECT DISTINCT status FROM delivery");
  expect(rows).toEqual([{ status: "DEAD" }]);
});

it("the sweep forgets what is old, and what was on its way to a webhook that is gone", async () => {
  await pending("kept", 10);
  await pending("gone", 10);
  await system.root.webhooks.deleteWebhook({ webhook: "gone" }, timely);
  await one.sweep();
  const count = async () => Number((await system.sql.query("SELECT count(*) FROM delivery")).rows[0].count);
  await vi.waitFor(async () => expect(await count()).toBe(10), patiently);
  nowMs = startMs + DELIVERIES_KEPT_MS;
  await one.sweep();
  expect(await count()).toBe(10);
  nowMs++;
  await one.sweep();
  expect(await count()).toBe(0);
});

it("http is no webhook's address unless the deployment says so", async () => {
  const call = system.root.webhooks.createWebhook({ name: "x", url: "http://example.com/" }, timely);
  await expect(call).rejects.toMatchObject({ violations: [{ field: "url" }] });
});

it("an https address that resolves to this host is refused when it is connected to", async () => {
  await system.root.webhooks.createWebhook({ name: "self", url: "https://localhost:1/" }, timely);
  await system.root.accounts.createAccount({ name: "Told of" }, timely);
  await vi.waitFor(
    async () => {
      const { deliveries } = await system.root.webhooks.listDeliveries({ webhook: "self" }, timely);
      expect(deliveries[0]).toMatchObject({ attempts: 1, lastError: "the receiver has no public address" });
    },
    { timeout: 10_000, interval: 50 },
  );
});
