import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { MAX_REFUSALS } from "@gatehouse/access";
import { sweepAudit } from "@gatehouse/events";
import type { AuditEvent } from "@gatehouse/proto/identity";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { badFieldsOf, type Caller, reasonOf, type System, startSystem, timely } from "./system.ts";

let system: System;
let nowMs = Date.now();

beforeAll(async () => {
  system = await startSystem({ nowMs: () => nowMs });
});
afterAll(() => system?.stop());

interface Tenant {
  readonly id: string;
  readonly keyId: string;
  readonly secret: string;
  readonly master: Caller;
}

let tenants = 0;
async function tenant(): Promise<Tenant> {
  const created = await system.root.accounts.createAccount({ name: `Audit ${++tenants}` }, timely);
  const { account, key, secret } = created;
  return { id: account!.id, keyId: key!.id, secret, master: system.as(secret) };
}

const actionsOf = (events: readonly AuditEvent[]) =>
  events.map(({ action, outcome }) => `${action.replace("gatehouse.", "")} ${outcome}`);

async function exported(caller: Caller, filter: object): Promise<AuditEvent[]> {
  const events: AuditEvent[] = [];
  for await (const part of caller.audit.exportEvents(filter, timely)) events.push(...part.events);
  return events;
}

describe("the audit", () => {
  it("says who did what to what, with what it was and is, newest first", async () => {
    const { id, keyId, master } = await tenant();
    const { key } = await master.keys.createKey({ name: "bot" }, timely);
    await master.keys.disableKey({ key: key!.id }, timely);
    const { events } = await master.audit.listEvents({}, timely);
    expect(actionsOf(events)).toEqual(["keys.disable OK", "keys.create OK", "accounts.create OK"]);
    expect(events[0]).toMatchObject({
      actorKeyId: keyId,
      actorAccountId: id,
      accountId: id,
      target: key!.id,
    });
    expect([events[0]!.before?.status, events[0]!.after?.status]).toEqual(["ENABLED", "DISABLED"]);
    expect(events[1]!.before).toBeUndefined();
    expect(await exported(master, {})).toEqual([...events].reverse());
  });

  it("lacks a refusal that the database does not take: it stands, and is counted", async () => {
    const { master } = await tenant();
    const counted = system.identity.metrics.find(
      ({ name }) => name === "gatehouse_audit_refusals_lost_total",
    )!;
    const [before] = counted.read();
    await system.sql.query("ALTER TABLE audit_event ADD CONSTRAINT only_ok CHECK (outcome = 'OK') NOT VALID");
    try {
      const revoked = master.keys.revokeKey({ key: "key_00000000000000000000" }, timely);
      expect(await reasonOf(revoked)).toBe("NOT_FOUND");
    } finally {
      await system.sql.query("ALTER TABLE audit_event DROP CONSTRAINT only_ok");
    }
    expect((await master.audit.listEvents({ outcome: "NOT_FOUND" }, timely)).events).toEqual([]);
    expect(counted.read()[0]!.value).toBe(before!.value + 1);
  });

  it("has refused attempts, of the guard and of the rules, with the caller's account and nowhere else", async () => {
    const [one, other] = [await tenant(), await tenant()];
    const weak = await one.master.keys.createKey({ name: "weak", scopes: ["gatehouse.audit.read"] }, timely);
    expect(await reasonOf(system.as(weak.secret).keys.createKey({ name: "x" }, timely))).toBe("SCOPE_DENIED");
    expect(await reasonOf(one.master.keys.revokeKey({ key: other.keyId }, timely))).toBe("NOT_FOUND");
    const { events } = await one.master.audit.listEvents({}, timely);
    expect(actionsOf(events).slice(0, 2)).toEqual(["keys.revoke NOT_FOUND", "keys.create SCOPE_DENIED"]);
    expect(events[0]).toMatchObject({ target: other.keyId, accountId: one.id });
    expect(events[1]).toMatchObject({ actorKeyId: weak.key!.id, accountId: one.id });
    const theirs = await other.master.audit.listEvents({ descendants: true }, timely);
    expect(actionsOf(theirs.events)).toEqual(["accounts.create OK"]);
    const refused = await one.master.audit.listEvents({ outcome: "NOT_FOUND" }, timely);
    expect(refused.events).toHaveLength(1);
  });

  it("has what a stopped key tried, as far as anybody reads, and nothing of keys that are none", async () => {
    const { id, master } = await tenant();
    const { key, secret } = await master.keys.createKey({ name: "leaked", roles: ["administrator"] }, timely);
    await master.keys.disableKey({ key: key!.id }, timely);
    const tried = system.as(secret).keys;
    expect(await reasonOf(tried.createKey({ name: "x" }, timely))).toBe("KEY_DISABLED");
    expect(await reasonOf(tried.listKeys({}, timely))).toBe("KEY_DISABLED");
    const spoiled = `${secret.slice(0, -1)}${secret.endsWith("A") ? "B" : "A"}`;
    expect(await reasonOf(system.as(spoiled).keys.createKey({ name: "x" }, timely))).toBe(
      "CREDENTIAL_INVALID",
    );
    const { events } = await master.audit.listEvents({ actor: key!.id }, timely);
    expect(actionsOf(events)).toEqual(["keys.create KEY_DISABLED"]);
    expect(events[0]).toMatchObject({ accountId: id });

    const often = Array.from({ length: 40 }, async () => {
      for (let n = 0; n < MAX_REFUSALS / 40; n++) await reasonOf(tried.createKey({ name: "x" }, timely));
    });
    await Promise.all(often);
    expect(await exported(master, { actor: key!.id })).toHaveLength(MAX_REFUSALS);
  });

  it("is found by actor, action, target, time and outcome", async () => {
    const { id, keyId, master } = await tenant();
    nowMs += 1000;
    const { key } = await master.keys.createKey({ name: "bot" }, timely);
    nowMs += 1000;
    await master.keys.revokeKey({ key: key!.id }, timely);
    const found = async (filter: object) => {
      const { events } = await master.audit.listEvents(filter, timely);
      expect(await exported(master, filter)).toEqual([...events].reverse());
      return actionsOf(events);
    };
    expect(await found({ actor: keyId })).toEqual(["keys.revoke OK", "keys.create OK"]);
    expect(await found({ actor: id })).toEqual(["keys.revoke OK", "keys.create OK"]);
    expect(await found({ target: key!.id, action: "gatehouse.keys.create" })).toEqual(["keys.create OK"]);
    expect(await found({ action: "gatehouse.keys.*" })).toEqual(["keys.revoke OK", "keys.create OK"]);
    expect(await found({ action: "gatehouse.accounts.*", outcome: "OK" })).toEqual(["accounts.create OK"]);
    expect(await found({ since: timestampFromMs(nowMs) })).toEqual(["keys.revoke OK"]);
    const between = { since: timestampFromMs(nowMs - 1000), until: timestampFromMs(nowMs) };
    expect(await found(between)).toEqual(["keys.create OK"]);
    const backwards = { since: timestampFromMs(nowMs), until: timestampFromMs(nowMs - 1) };
    expect(await badFieldsOf(master.audit.listEvents(backwards, timely))).toEqual(["until"]);
    // The provider's key acted here too, and is not below the account.
    const { rows } = await system.sql.query("SELECT id FROM key WHERE name = 'root'");
    expect(await found({ actor: rows[0].id })).toEqual(["accounts.create OK"]);
    expect(await found({ actor: "key_00000000000000000000" })).toEqual([]);
    expect(await found({ outcome: "SCOPE_DENIED" })).toEqual([]);
  });

  it("comes in pages that a token goes on with, of the same list only", async () => {
    const { master } = await tenant();
    for (let n = 0; n < 7; n++) await master.keys.createKey({ name: `key ${n}` }, timely);
    const whole = await master.audit.listEvents({}, timely);
    const filter = { pageSize: 3 };
    const paged: AuditEvent[] = [];
    for (let pageToken = ""; ; ) {
      const page = await master.audit.listEvents({ ...filter, pageToken }, timely);
      expect(page.events.length).toBeLessThanOrEqual(3);
      paged.push(...page.events);
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
      const elsewhere = master.audit.listEvents({ action: "gatehouse.keys.create", pageToken }, timely);
      expect(await badFieldsOf(elsewhere)).toEqual(["page_token"]);
    }
    expect(paged).toEqual(whole.events);
  });

  it("goes on after a page that found nothing in what it looked at", async () => {
    const { id, keyId, master } = await tenant();
    const { key } = await master.keys.createKey({ name: "needle" }, timely);
    await system.sql.query(
      `INSERT INTO audit_event (id, at, actor_key_id, actor_account_id, action, target, outcome, account_id, account_path)
       SELECT 'evt_' || lpad(n::text, 20, '0'), $1::timestamptz + n * interval '1 ms', $2, $3, 'gatehouse.keys.update',
         'key_hay', 'OK', $3, (SELECT path FROM account WHERE id = $3)
       FROM generate_series(1, 25000) n`,
      [new Date(nowMs), keyId, id],
    );
    nowMs += 25_000;
    const pages: number[] = [];
    for (let pageToken = ""; ; ) {
      const wanted = { action: "gatehouse.keys.create", pageToken };
      const page = await master.audit.listEvents(wanted, timely);
      pages.push(page.events.length);
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
    }
    expect(pages).toEqual([0, 0, 1]);
    expect(await exported(master, { action: "gatehouse.keys.create" })).toHaveLength(1);
    // By its target it is found at once.
    const byTarget = await master.audit.listEvents({ target: key!.id }, timely);
    expect(byTarget).toMatchObject({ nextPageToken: "", events: [{ action: "gatehouse.keys.create" }] });
    expect(await exported(master, {})).toHaveLength(25_002);
  });
});

describe("an export", () => {
  it("keeps no transaction open while its reader takes its time, and ends when the reader goes", async () => {
    const reading = system.root.audit.exportEvents({ descendants: true }, timely)[Symbol.asyncIterator]();
    const first = await reading.next();
    expect(first.value!.events.length).toBeGreaterThan(100);
    const busy = async () => {
      const { rows } = await system.sql.query(
        `SELECT query FROM pg_stat_activity
         WHERE datname = current_database() AND query LIKE '%FROM audit_event%'
           AND pid <> pg_backend_pid() AND state <> 'idle'`,
      );
      return rows;
    };
    // It reads ahead as far as the transport's buffers take it, and stands still then.
    await vi.waitFor(async () => expect(await busy()).toEqual([]), { timeout: 10_000, interval: 20 });
    const second = await reading.next();
    expect(second.value!.events[0]!.id > first.value!.events.at(-1)!.id).toBe(true);
    await reading.return?.();
    await vi.waitFor(async () => expect(await busy()).toEqual([]), { timeout: 10_000, interval: 20 });
  });
});

describe("whose audit it is", () => {
  it("an account's own; with a master key that of the accounts below; the provider's is all", async () => {
    const one = await tenant();
    const lab = await one.master.accounts.createAccount({ name: "Lab" }, timely);
    const account = system.as(lab.secret);
    const own = await one.master.audit.listEvents({}, timely);
    expect(actionsOf(own.events)).toEqual(["accounts.create OK"]);
    const below = await one.master.audit.listEvents({ descendants: true }, timely);
    expect(below.events.map(({ accountId }) => accountId)).toEqual([lab.account!.id, one.id]);
    const named = await one.master.audit.listEvents({ account: "lab" }, timely);
    expect(named.events).toHaveLength(1);
    expect((await account.audit.listEvents({ descendants: true }, timely)).events).toHaveLength(1);
    const all = await exported(system.root, { descendants: true });
    const { rows } = await system.sql.query("SELECT count(*) FROM audit_event");
    expect(all).toHaveLength(Number(rows[0].count));
  });

  it("is not that of the accounts below for who is isolated from them", async () => {
    const one = await tenant();
    await one.master.accounts.createAccount({ name: "Lab" }, timely);
    await system.sql.query("UPDATE account SET isolated = true WHERE id = $1", [one.id]);
    const seen = await exported(one.master, { descendants: true });
    expect(seen.every(({ accountId }) => accountId === one.id)).toBe(true);
    const provider = await exported(system.root, { account: one.id, descendants: true });
    expect(new Set(provider.map(({ accountId }) => accountId)).size).toBe(2);
  });

  it("of a suspended account its ancestors still read", async () => {
    const one = await tenant();
    const lab = await one.master.accounts.createAccount({ name: "Lab" }, timely);
    await one.master.accounts.suspendAccount({ account: "lab", reason: "ABUSE" }, timely);
    const { events } = await one.master.audit.listEvents({ account: "lab" }, timely);
    expect(actionsOf(events)).toEqual(["accounts.suspend OK", "accounts.create OK"]);
    expect(await reasonOf(system.as(lab.secret).audit.listEvents({}, timely))).toBe("ACCOUNT_SUSPENDED");
  });

  it("is not there for another organization, as if the account were not", async () => {
    const [one, other] = [await tenant(), await tenant()];
    const answer = (account: string) => system.json(other.secret, "AuditService/ListEvents", { account });
    const foreign = await answer(one.id);
    expect(foreign.status).toBe(404);
    expect(foreign).toEqual(await answer("acc_00000000000000000000"));
    expect(await reasonOf(exported(other.master, { account: one.id }))).toBe("NOT_FOUND");
    // Nor does a filter reach into another account.
    for (const filter of [{ actor: one.keyId }, { actor: one.id }, { target: one.id }]) {
      expect((await other.master.audit.listEvents({ ...filter, descendants: true }, timely)).events).toEqual(
        [],
      );
    }
  });

  it("names every bad field at once", async () => {
    const bad = system.root.audit.listEvents(
      {
        action: "keys.*",
        since: { seconds: 10n ** 15n, nanos: 0 },
        until: { seconds: 0n, nanos: -1 },
        actor: "x".repeat(1e5),
        outcome: "\0",
        pageSize: -1,
        pageToken: "no",
      },
      timely,
    );
    expect((await badFieldsOf(bad)).sort()).toEqual(
      ["action", "actor", "outcome", "page_size", "page_token", "since", "until"].sort(),
    );
  });
});

it("the sweep forgets what is older than the audit is kept, and nothing else", async () => {
  const count = async () =>
    Number((await system.sql.query("SELECT count(*) FROM audit_event")).rows[0].count);
  const all = await count();
  const oldest = (await system.sql.query("SELECT min(at) AS at FROM audit_event")).rows[0].at as Date;
  const manager = {
    query: async (text: string, values: unknown[]) => {
      const { rows, rowCount } = await system.sql.query(text, values);
      return [rows, rowCount];
    },
  };
  await sweepAudit(manager as never, oldest);
  expect(await count()).toBe(all);
  await sweepAudit(manager as never, new Date(oldest.getTime() + 1));
  expect(await count()).toBeLessThan(all);
  expect(await count()).toBeGreaterThan(20_000);
});
