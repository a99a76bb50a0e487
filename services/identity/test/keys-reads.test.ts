import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { openDatabase } from "@gatehouse/changefeed";
import { KeyKind, KeyStatus, type ListKeysRequest } from "@gatehouse/proto/identity";
import type { DataSource, EntityManager } from "typeorm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEFAULT_PLAN } from "../src/index.ts";
import { KeyReader } from "../src/storage/key-reads.ts";
import { keyRows } from "../src/storage/key-row.ts";
import { badFieldsOf, type Caller, type System, startSystem, timely } from "./system.ts";

let system: System;
let master: Caller;
let accountId: string;
let nowMs = Date.UTC(2030, 0, 1);

beforeAll(async () => {
  system = await startSystem({ nowMs: () => nowMs, plan: { ...DEFAULT_PLAN, subKeysPerAccount: 100_000 } });
  const { account, secret } = await system.root.accounts.createAccount({ name: "reads" }, timely);
  master = system.as(secret);
  accountId = account!.id;
});
afterAll(() => system?.stop());

describe("a key as it is shown", () => {
  it("has its own access, its parent key's and every ceiling above, each with what its roles stand for", async () => {
    await master.roles.createRole({ name: "trader", scopes: ["orders.**"] }, timely);
    await master.accounts.createAccount({ name: "desk" }, timely);
    const parent = await master.keys.createKey(
      {
        account: "desk",
        name: "parent",
        roles: ["trader"],
        ipAllow: ["10.0.0.0/8"],
        expiresAt: timestampFromMs(nowMs + 5000),
      },
      timely,
    );
    const { key: sub } = await master.keys.createKey(
      {
        parentKey: parent.key!.id,
        name: "sub",
        scopes: ["orders.read"],
        expiresAt: timestampFromMs(nowMs + 9000),
        notBefore: timestampFromMs(nowMs + 1000),
      },
      timely,
    );
    await system.root.types.createType({ name: "paper", open: true, scopeCeiling: ["!orders.live"] }, timely);
    await system.sql.query("UPDATE account SET type = 'paper' WHERE slug = 'desk'");
    await master.accounts.setScopeCeiling({ account: "desk", scopes: ["orders.**"] }, timely);
    const { key } = await master.keys.getKey({ key: sub!.id }, timely);
    const desk = key!.accountId;
    expect(key!.effective!.scopes).toMatchObject([
      { nodeId: sub!.id, roles: [], scopes: ["orders.read"] },
      { nodeId: parent.key!.id, roles: [{ role: "trader", scopes: ["orders.**"] }], scopes: [] },
      { nodeId: desk, scopes: ["orders.**"], type: "" },
      { nodeId: desk, scopes: ["!orders.live"], type: "paper" },
    ]);
    expect(key!.effective).toMatchObject({
      addresses: [{ keyId: parent.key!.id, ipAllow: ["10.0.0.0/8"], ipDeny: [] }],
      notBefore: timestampFromMs(nowMs + 1000),
      expiresAt: timestampFromMs(nowMs + 5000),
      state: "NOT_YET_VALID",
    });
    // As asked it is its own.
    expect(key).toMatchObject({ scopes: ["orders.read"], expiresAt: timestampFromMs(nowMs + 9000) });
    const { keys } = await master.keys.listKeys({ account: "desk", kind: KeyKind.SUB }, timely);
    expect(keys).toEqual([key]);
    await master.keys.disableKey({ key: parent.key!.id }, timely);
    const stopped = await master.keys.getKey({ key: sub!.id }, timely);
    expect(stopped.key).toMatchObject({ status: KeyStatus.ENABLED, effective: { state: "DISABLED" } });
  });

  it("says when it was last used, and lists find those that nobody uses", async () => {
    const { secret } = await system.root.accounts.createAccount({ name: "usage" }, timely);
    const { keys } = system.as(secret);
    const ids: string[] = [];
    for (const name of ["used", "unused", "used long ago"])
      ids.push((await keys.createKey({ name }, timely)).key!.id);
    nowMs += 10_000;
    const young = await keys.createKey({ name: "young" }, timely);
    for (const [id, atMs] of [
      [ids[0], nowMs],
      [ids[2], nowMs - 9000],
      [young.key!.id, nowMs],
    ] as const) {
      await system.sql.query("INSERT INTO key_activity (key_id, last_used_at) VALUES ($1, $2)", [
        id,
        new Date(atMs),
      ]);
    }
    expect((await keys.getKey({ key: ids[0]! }, timely)).key!.lastUsedAt).toEqual(timestampFromMs(nowMs));
    expect((await keys.getKey({ key: ids[1]! }, timely)).key!.lastUsedAt).toBeUndefined();
    const unused = async (sinceMs: number) => {
      const found = await keys.listKeys(
        { unusedSince: timestampFromMs(sinceMs), kind: KeyKind.ACCOUNT },
        timely,
      );
      return found.keys.map(({ name }) => name);
    };
    expect(await unused(nowMs)).toEqual(["unused", "used long ago"]);
    expect(await unused(nowMs - 9000)).toEqual(["unused"]);
    expect(await unused(nowMs - 10_000)).toEqual([]);
    const wrong = keys.listKeys({ unusedSince: { seconds: -1n, nanos: 0 } }, timely);
    expect(await badFieldsOf(wrong)).toEqual(["unused_since"]);
  });

  it("is listed by status, kind and labels", async () => {
    const { secret } = await system.root.accounts.createAccount({ name: "filters" }, timely);
    const { keys } = system.as(secret);
    const named = async (filter: Partial<ListKeysRequest>) =>
      (await keys.listKeys(filter as object, timely)).keys.map(({ name }) => name);
    const { key } = await keys.createKey({ name: "a", labels: { x: "1", y: "2" } }, timely);
    await keys.createKey({ name: "b", labels: { x: "1" }, kind: KeyKind.SUB }, timely);
    await keys.disableKey({ key: key!.id }, timely);
    const gone = await keys.createKey({ name: "c" }, timely);
    await keys.revokeKey({ key: gone.key!.id }, timely);
    expect(await named({})).toEqual(["first", "a", "b"]);
    expect(await named({ status: KeyStatus.REVOKED })).toEqual(["c"]);
    expect(await named({ status: KeyStatus.DISABLED })).toEqual(["a"]);
    expect(await named({ kind: KeyKind.MASTER })).toEqual(["first"]);
    expect(await named({ labels: { x: "1" } })).toEqual(["a", "b"]);
    expect(await named({ labels: { x: "1", y: "2" } })).toEqual(["a"]);
  });
});

describe("a list of many keys", () => {
  const MANY = 50_000;

  it("costs the last page what it costs the first", async () => {
    const parent = (await master.keys.whoAmI({}, timely)).key!.id;
    await system.sql.query(
      `INSERT INTO key (id, account_id, parent_key_id, kind, status, name, masked, secret_hashes, roles, scopes,
         labels, created_at, updated_at)
       SELECT 'key_' || lpad(n::text, 20, '0'), $1, $2, 'SUB', CASE WHEN n % 2 = 0 THEN 'ENABLED' ELSE 'REVOKED' END,
         'n' || n, '', '{}', '{}', '{**}', '{}', $4, $4 FROM generate_series(1, $3::int) n`,
      [accountId, parent, MANY, new Date(nowMs)],
    );
    await system.sql.query("ANALYZE key");
    const database = await openDatabase({
      url: system.databaseUrl,
      schema: "identity",
      entities: [keyRows],
      migrations: [],
      poolSize: 1,
    });
    try {
      const filter = { accountId, status: undefined, kind: undefined, labels: {}, unusedSince: undefined };
      const pageAfter = (after: string) =>
        keysRead(database, (manager) => new KeyReader(manager).list(filter, { after, limit: 100 }));
      const [first, last] = [await pageAfter(""), await pageAfter(idOf(MANY - 300))];
      expect([first.answered, last.answered]).toEqual([100, 100]);
      // Each key of the page, and its parent key.
      expect(first.read).toBeLessThanOrEqual(300);
      expect(last.read).toBeLessThanOrEqual(300);
      const skipped = await keysRead(database, (manager) =>
        manager.query(
          "SELECT masked FROM key WHERE account_id = $1 AND status <> 'REVOKED' ORDER BY id LIMIT 100 OFFSET 20000",
          [accountId],
        ),
      );
      expect(skipped.read).toBeGreaterThan(20_000);
    } finally {
      await database.destroy();
    }
  });

  /** How many rows of `key` a read takes out of the table, by the database's own count. */
  function keysRead(database: DataSource, read: (manager: EntityManager) => Promise<unknown[]>) {
    return database.transaction(async (manager) => {
      const before = await rowsTaken(manager);
      const { length: answered } = await read(manager);
      return { answered, read: (await rowsTaken(manager)) - before };
    });
  }

  // Counts what the session has not reported yet, of earlier transactions too.
  async function rowsTaken(manager: EntityManager): Promise<number> {
    const [{ rows }] = await manager.query(
      `SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) AS rows
       FROM pg_stat_xact_user_tables WHERE relid = 'key'::regclass`,
    );
    return Number(rows);
  }

  function idOf(n: number): string {
    return `key_${String(n).padStart(20, "0")}`;
  }
});
