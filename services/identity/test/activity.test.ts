import { timestampDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { mintId } from "@gatehouse/keys";
import { createLog } from "@gatehouse/service";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { AuditEvent } from "../src/domain/events/audit.ts";
import type { DomainEvent } from "../src/domain/events/event.ts";
import type { Change, Store } from "../src/domain/store.ts";
import { createIdentity, readIdentityConfig } from "../src/index.ts";
import { badFieldsOf, type Caller, type System, startSystem, timely } from "./system.ts";

const DAY_MS = 86_400_000;
let system: System;
let root: Caller;
/** identity's clock; tests move it on. */
let nowMs = Date.now();
let names = 0;
const events: DomainEvent[] = [];

beforeAll(async () => {
  system = await startSystem({ nowMs: () => nowMs, wrapStore: listening });
  root = system.root;
});
afterAll(() => system?.stop());

const newKey = async (rest: object = {}) => {
  const { key, secret } = await root.keys.createKey(
    { name: `key ${names++}`, roles: ["auditor"], ...rest },
    timely,
  );
  return { id: key!.id, secret };
};
const use = (keyId: string, atMs: number) =>
  system.feed.recordActivity({ activities: [{ keyId, lastUsedAt: timestampFromMs(atMs) }] }, timely);

async function lastUsedMs(keyId: string): Promise<number | undefined> {
  const { rows } = await system.sql.query("SELECT last_used_at FROM key_activity WHERE key_id = $1", [keyId]);
  return rows[0]?.last_used_at.getTime();
}

/** The events of a type about a key, once there are so many. */
async function told(type: string, keyId: string, count: number): Promise<DomainEvent[]> {
  const about = () => events.filter((event) => event.type === type && event.subject === keyId);
  await expect.poll(() => about().length, { timeout: 10_000 }).toBe(count);
  return about();
}

/** Keeps what is raised by changes that are committed. */
function listening(store: Store): Store {
  return Object.assign(Object.create(store), {
    change: async <T>(work: (change: Change) => Promise<T>) => {
      let raised: DomainEvent[] = [];
      const committed = await store.change((change) => {
        raised = [];
        return work({
          ...change,
          raise: async (event) => {
            raised.push(event);
            await change.raise(event);
          },
        });
      });
      events.push(...raised);
      return committed;
    },
    recordRefusal: (event: AuditEvent) => store.recordRefusal(event),
  });
}

describe("last use", () => {
  it("keeps the latest, whatever order uses arrive in", async () => {
    const { id } = await newKey();
    await use(id, nowMs - 5000);
    await use(id, nowMs - 9000);
    expect(await lastUsedMs(id)).toBe(nowMs - 5000);
    const activities = [nowMs - 3000, nowMs - 1000, nowMs - 2000].map((atMs) => ({
      keyId: id,
      lastUsedAt: timestampFromMs(atMs),
    }));
    await system.feed.recordActivity({ activities }, timely);
    expect(await lastUsedMs(id)).toBe(nowMs - 1000);
  });

  it("is never in the future, and of keys that are there only", async () => {
    const { id } = await newKey();
    await use(id, nowMs + DAY_MS);
    expect(await lastUsedMs(id)).toBe(nowMs);
    const nobody = mintId("key");
    await use(nobody, nowMs);
    expect(await lastUsedMs(nobody)).toBeUndefined();
  });

  it("is no change: followers hear nothing of it", async () => {
    const { id } = await newKey();
    const before = await system.identity.changeLog.head();
    await use(id, nowMs);
    expect(await system.identity.changeLog.head()).toEqual(before);
  });

  it("counts calls to identity too, and is shown", async () => {
    const { id, secret } = await newKey();
    expect((await root.keys.getKey({ key: id }, timely)).key!.lastUsedAt).toBeUndefined();
    await system.as(secret).keys.whoAmI({}, timely);
    await expect.poll(() => lastUsedMs(id), { timeout: 10_000 }).toBe(nowMs);
    const { key } = await root.keys.getKey({ key: id }, timely);
    expect(timestampDate(key!.lastUsedAt!).getTime()).toBe(nowMs);
  });

  it("takes batches that cross each other", async () => {
    const keys = await Promise.all(Array.from({ length: 20 }, () => newKey()));
    const batches = Array.from({ length: 10 }, (_, batch) =>
      (batch % 2 === 0 ? keys : keys.toReversed()).map(({ id }) => ({
        keyId: id,
        lastUsedAt: timestampFromMs(nowMs - 1000 + batch),
      })),
    );
    await Promise.all(batches.map((activities) => system.feed.recordActivity({ activities }, timely)));
    for (const { id } of keys) expect(await lastUsedMs(id)).toBe(nowMs - 991);
  });

  it("names every bad field", async () => {
    const lastUsedAt = timestampFromMs(nowMs);
    const activities = [{ keyId: "acc_1", lastUsedAt }, { keyId: mintId("key") }];
    expect(await badFieldsOf(system.feed.recordActivity({ activities }, timely))).toEqual([
      "activities[0].key_id",
      "activities[1].last_used_at",
    ]);
    expect(await badFieldsOf(system.feed.recordActivity({ activities: [] }, timely))).toEqual(["activities"]);
    const many = Array.from({ length: 1001 }, () => ({ keyId: mintId("key"), lastUsedAt }));
    expect(await badFieldsOf(system.feed.recordActivity({ activities: many }, timely))).toEqual([
      "activities",
    ]);
  });
});

describe("a key with a heartbeat", () => {
  const watched = { requireHeartbeat: true, heartbeatTimeout: { seconds: 30n, nanos: 0 } };

  it("that falls silent is told of once, by one of two replicas; the next beat arms it again", async () => {
    const log = createLog({ name: "test", level: "silent" });
    const replica = await createIdentity(readIdentityConfig(system.environment), log, {
      nowMs: () => nowMs,
      wrapStore: listening,
    });
    const keys = await Promise.all(Array.from({ length: 5 }, () => newKey(watched)));
    const never = await newKey(watched);
    const beating = await newKey(watched);
    for (const { id } of [...keys, beating]) await use(id, nowMs);
    nowMs += 29_000;
    await use(beating.id, nowMs);
    nowMs += 2000;
    const beatAtMs = nowMs - 31_000;
    for (const { id } of keys) {
      const [event] = await told("key.silent", id, 1);
      expect(event!.data).toMatchObject({ last_used_at: new Date(beatAtMs).toISOString() });
    }
    for (const { id } of keys) await use(id, nowMs);
    nowMs += 31_000;
    for (const { id } of [...keys]) await told("key.silent", id, 2);
    await told("key.silent", beating.id, 1);
    await told("key.silent", never.id, 0);
    await replica.close();
  });

  it("would be told of again and again by a watch that does not mark what it took", async () => {
    const log = createLog({ name: "test", level: "silent" });
    const { id } = await newKey(watched);
    await system.sql.query("INSERT INTO key_activity VALUES ($1, $2)", [id, new Date(nowMs)]);
    const unmarked = (store: Store) =>
      listening(
        Object.assign(Object.create(store), {
          change: <T>(work: (change: Change) => Promise<T>) =>
            store.change((change) => {
              const takeSilent = async () => [{ keyId: id, lastUsedAt: new Date(nowMs) }];
              return work({ ...change, watches: { takeSilent, takeExpiring: async () => [] } });
            }),
        }),
      );
    const replica = await createIdentity(readIdentityConfig(system.environment), log, {
      nowMs: () => nowMs,
      wrapStore: unmarked,
    });
    await told("key.silent", id, 2);
    await replica.close();
  });

  it("is judged by the timeout that it has now", async () => {
    const { id } = await newKey(watched);
    await use(id, nowMs);
    await root.keys.updateKey(
      { key: id, heartbeatTimeout: { seconds: 5n, nanos: 0 }, updateMask: { paths: ["heartbeat_timeout"] } },
      timely,
    );
    nowMs += 6000;
    await told("key.silent", id, 1);
  });

  it("that cannot be used is nobody's worry", async () => {
    const [disabled, working] = [await newKey(watched), await newKey(watched)];
    for (const { id } of [disabled, working]) await use(id, nowMs);
    await root.keys.disableKey({ key: disabled.id }, timely);
    nowMs += 31_000;
    await told("key.silent", working.id, 1);
    await told("key.silent", disabled.id, 0);
  });
});

describe("a key that expires", () => {
  const inMs = (ms: number) => ({ expiresAt: timestampFromMs(nowMs + ms) });

  it("is told of a week before, once for each expiry", async () => {
    const [soon, later] = [await newKey(inMs(3 * DAY_MS)), await newKey(inMs(10 * DAY_MS))];
    const [event] = await told("key.expiring", soon.id, 1);
    expect(event).toMatchObject({ data: { expires_at: new Date(nowMs + 3 * DAY_MS).toISOString() } });
    await told("key.expiring", later.id, 0);
    nowMs += 4 * DAY_MS;
    await told("key.expiring", later.id, 1);
    await root.keys.updateKey(
      { key: later.id, ...inMs(5 * DAY_MS), updateMask: { paths: ["expires_at"] } },
      timely,
    );
    await told("key.expiring", later.id, 2);
    await told("key.expiring", soon.id, 1);
  });

  it("is found by an index that holds nothing else", async () => {
    // So few rows are read whole otherwise.
    await system.sql.query("SET enable_seqscan = off");
    const plan = await system.sql.query(`EXPLAIN (FORMAT JSON) SELECT id FROM key
      WHERE status = 'ENABLED' AND expires_at IS NOT NULL AND expiry_told IS DISTINCT FROM expires_at
        AND expires_at <= now() ORDER BY expires_at LIMIT 100`);
    await system.sql.query("RESET enable_seqscan");
    expect(JSON.stringify(plan.rows)).toContain("key_expiring_idx");
  });
});

describe("a nonce", () => {
  const claim = (keyId: string, nonce: string, atMs = nowMs + 60_000) =>
    system.feed.claimNonce({ keyId, nonce, expiresAt: timestampFromMs(atMs) }, timely);

  it("is claimed once, by one of many at once", async () => {
    const keyId = mintId("key");
    const claims = await Promise.all(Array.from({ length: 20 }, () => claim(keyId, "once")));
    expect(claims.filter(({ claimed }) => claimed)).toHaveLength(1);
    expect((await claim(mintId("key"), "once")).claimed).toBe(true);
    expect((await claim(keyId, "twice")).claimed).toBe(true);
  });

  it("is free when it has expired, and then swept", async () => {
    const keyId = mintId("key");
    await claim(keyId, "short", nowMs + 1000);
    nowMs += 1000;
    expect((await claim(keyId, "short")).claimed).toBe(true);
    expect((await claim(keyId, "short")).claimed).toBe(false);
    nowMs += 16 * 60_000;
    const left = async () => (await system.sql.query("SELECT count(*)::int AS n FROM nonce")).rows[0].n;
    await expect.poll(left, { timeout: 20_000, interval: 200 }).toBe(0);
  }, 30_000);

  it("is bounded", async () => {
    expect(await badFieldsOf(claim("acc_1", "", nowMs))).toEqual(["key_id", "nonce", "expires_at"]);
    expect(await badFieldsOf(claim(mintId("key"), "n".repeat(101), nowMs + 900_001))).toEqual([
      "nonce",
      "expires_at",
    ]);
    expect((await claim(mintId("key"), "n".repeat(100), nowMs + 900_000)).claimed).toBe(true);
  });
});
