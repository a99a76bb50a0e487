import { openDatabase } from "@gatehouse/changefeed";
import { mintId } from "@gatehouse/keys";
import { Window } from "@gatehouse/proto/metering";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import type { DataSource } from "typeorm";
import { beforeEach, expect, test } from "vitest";
import { AlertMakers1764710000000 } from "../src/storage/alert-makers-migration.ts";
import { Alerts1764700000000 } from "../src/storage/alerts-migration.ts";
import { migrations } from "../src/storage/migrations.ts";
import { UsageCosts1764650000000 } from "../src/storage/usage-costs-migration.ts";
import { IdentityLog, startMetering, type TestMetering } from "./fixture.ts";
import { Holder } from "./holder.ts";

const timeoutMs = 5000;
const MINUTE = BigInt(Math.floor(Date.now() / 60_000));
/** Emptied by migrations that have it read anew, as they say. */
const MIRROR = ["account", "key", "meter", "feed_position", "plan", "organization_plan"];

let postgres: TestPostgres;
let identity: IdentityLog;
let database: DataSource;

beforeEach(async () => {
  identity = new IdentityLog();
  postgres = await startTestPostgres();
  database = await openDatabase({
    url: postgres.url,
    schema: "metering",
    entities: [],
    migrations,
    poolSize: 2,
  });
  return async () => {
    await database.destroy();
    await postgres.stop();
  };
});

/**
 * Replicas of metering are replaced one by one, and the first new one migrates under those that are left. Rows stay
 * whatever a deployment has been migrated from, and who ingests meanwhile loses nothing.
 */

/** An account with a quota, and units of it lent to a holder that has not spent all of them. */
async function lend(metering: TestMetering, name: string) {
  const account = identity.account(identity.root, name);
  await metering.follower.prove();
  const allowance = { case: "quota", value: { units: 100_000n, window: Window.NEVER } } as const;
  const node = { case: "account", value: account.id } as const;
  await metering.limits(identity.key(identity.root)).setLimit({ node, allowance }, { timeoutMs });
  const holder = new Holder(metering, name);
  const { leases } = await holder.acquire([account.id], { requests: 1 }, { want: 1000 });
  return { account, holder, leaseId: leases[0]!.id };
}

function usageOf(accountId: string, units: bigint, currency = "") {
  const series = { keyId: "key_any", meter: "requests", resource: "", outcome: "VALID" };
  return { ...series, minute: MINUTE, accountId, units, currency, cost: currency === "" ? 0n : units * 10n };
}

/** To the schema as it was before a migration. */
async function undoFrom(migration: (typeof migrations)[number]): Promise<void> {
  for (const _ of migrations.slice(migrations.indexOf(migration))) await database.undoLastMigration();
}

/** Something in every table that counts, money included. */
async function fill(): Promise<void> {
  const metering = await startMetering(postgres.url, identity);
  try {
    const { account, holder, leaseId } = await lend(metering, "filled");
    const usage = [usageOf(account.id, 3n), usageOf(account.id, 4n, "USD"), usageOf(mintId("acc"), 5n)];
    const leases = [{ leaseId, spent: 7n, closed: false }];
    await metering.ingest.ingestBatch(holder.batch({ usage, leases }), { timeoutMs });
    const wallet = mintId("wal");
    await metering.query(
      `INSERT INTO wallet (id, account_id, currency, balance, leased, moved_at) VALUES ($1, $2, 'USD', 60, 5, now())`,
      [wallet, account.id],
    );
    await metering.query(
      `INSERT INTO wallet_lease (id, wallet_id, holder, units, deadline) VALUES ($1, $2, 'authz-0/1', 5, now())`,
      ["lea_of_wallet", wallet],
    );
    for (const [from, to, amount, balance] of [
      ["EXTERNAL", wallet, 100, 100],
      [wallet, "REVENUE", 40, 60],
    ] as const) {
      await metering.query(
        `INSERT INTO ledger_transfer (id, at, kind, organization_id, currency, from_wallet, to_wallet, amount,
           from_balance, to_balance)
         VALUES ($1, now(), 'TRANSFER', $2, 'USD', $3, $4, $5, $6, $7)`,
        [
          mintId("txn"),
          account.id,
          from,
          to,
          amount,
          ...(from === wallet ? [balance, null] : [null, balance]),
        ],
      );
    }
    await metering.query("INSERT INTO money_request VALUES ($1, 'once', 'digest', 'txn')", [account.id]);
    await metering.query("INSERT INTO reported_event VALUES (current_date, 'backend', 'one', '')", []);
    await metering.query(
      "INSERT INTO reservation (decision_id, state, expires_at) VALUES ('dec_open', 'OPEN', now())",
      [],
    );
  } finally {
    await metering.stop();
  }
}

type Columns = ReadonlyMap<string, readonly string[]>;

/** What the schema has now, by table, without the mirror, what is only a part of another table, and names of actions. */
async function columnsNow(): Promise<Columns> {
  const rows: { table: string; columns: string[] }[] = await database.query(
    `SELECT c.relname AS table, array_agg(a.attname::text ORDER BY a.attname) AS columns
     FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE c.relnamespace = 'metering'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
       AND c.relname <> 'migrations' AND c.relname <> ALL ($1)
       AND NOT (c.relname = 'audit_event' AND a.attname = 'action')
     GROUP BY 1`,
    [MIRROR],
  );
  return new Map(rows.map(({ table, columns }) => [table, columns]));
}

/** Every row of these tables, as far as these columns go. */
async function rowsOf(columns: Columns): Promise<Record<string, string[]>> {
  const found: Record<string, string[]> = {};
  for (const [table, names] of columns) {
    const row = names.map((name) => `"${name}"`).join(", ");
    const rows = await database.query(`SELECT (ROW(${row}))::text AS row FROM "${table}" ORDER BY 1`);
    found[table] = rows.map(({ row }: { row: string }) => row);
  }
  return found;
}

test("from each earlier schema on every row is kept", { timeout: 120_000 }, async () => {
  await fill();
  const filled = new Set<string>();
  // The first is of nothing; the schema before each of the others may have rows.
  for (const migration of migrations.slice(1).reverse()) {
    await undoFrom(migration);
    const columns = await columnsNow();
    const before = await rowsOf(columns);
    await database.runMigrations();
    expect(await rowsOf(columns), `since ${migration.name}`).toEqual(before);
    for (const [table, rows] of Object.entries(before)) if (rows.length > 0) filled.add(table);
    expect(await database.query("SELECT sum(units)::int AS units FROM usage_minute")).toEqual([{ units: 7 }]);
    expect(await database.query("SELECT sum(q0 + q1 + q2 + q3)::int AS units FROM usage_account")).toEqual([
      { units: 7 },
    ]);
    // Before there was money, there is none afterwards.
    if (columns.has("ledger_transfer")) {
      const hours = "SELECT kind, sum(amount)::int AS micros FROM wallet_hour GROUP BY 1";
      expect(await database.query(hours)).toEqual([{ kind: "TRANSFER", micros: 60 }]);
    }
  }
  const counting = [
    "usage_minute",
    "usage_quarter",
    "usage_quarantine",
    "quota_bucket",
    "quota_lease",
    "node_limit",
  ];
  const taken = [
    "producer_epoch",
    "ingested_batch",
    "reported_event",
    "reservation",
    "audit_event",
    "change_log",
  ];
  const money = ["wallet", "wallet_lease", "ledger_transfer", "money_request"];
  expect([...filled]).toEqual(expect.arrayContaining([...counting, ...taken, ...money]));
});

test("the audit of before says whom it concerns, and alerts who made them", async () => {
  const metering = await startMetering(postgres.url, identity);
  const { account } = await lend(metering, "audited");
  const root = identity.key(identity.root, "MASTER", undefined, ["administrator", "fund-manager"]);
  const key = identity.key(account);
  const master = identity.key(account);
  await metering.follower.prove();
  const allowance = { case: "quota", value: { units: 1n, window: Window.DAY } } as const;
  await metering.limits(root).setLimit({ node: { case: "key", value: key.id }, allowance }, { timeoutMs });
  await metering.credits(root).topUp({ account: account.id, amount: 5n, currency: "USD" }, { timeoutMs });
  await metering.credits(root).setPrice({ currency: "USD", price: 1n }, { timeoutMs });
  const usage = { amount: 1n, window: Window.DAY };
  const subject = { case: "usage", value: usage } as const;
  const { alert } = await metering.alerts(master).createAlert({ subject }, { timeoutMs });
  await metering.stop();
  const events = () =>
    database.query("SELECT id, action, target_id, account_id, account_path FROM audit_event ORDER BY id");
  const makers = () => database.query("SELECT id, made_by FROM alert");
  const [written, made] = [await events(), await makers()];
  const whole = [identity.root.id, account.id];
  expect(written.map((row: { account_path: string[] }) => row.account_path)).toEqual([
    ...[whole, whole, whole],
    ...[[identity.root.id], whole],
  ]);
  expect(made).toEqual([{ id: alert!.id, made_by: account.id }]);
  await undoFrom(AlertMakers1764710000000);
  const [first] = await database.query("SELECT action FROM audit_event ORDER BY id LIMIT 1");
  expect(first).toEqual({ action: "limits.set" });
  await database.runMigrations();
  expect(await events()).toEqual(written);
  expect(await makers()).toEqual(made);
});

// The writer's statements fit both schemas of the first, and only the later one of the second. In a deployment the writer is
// behind the schema and here it is ahead of it: a producer sees the same.
test.each([
  { before: Alerts1764700000000, isRefused: false, what: "goes on during" },
  { before: UsageCosts1764650000000, isRefused: true, what: "is refused until" },
])("who ingests $what $before.name: no batch is lost or booked twice", async ({ before, isRefused }) => {
  const old = await startMetering(postgres.url, identity);
  const { account, holder, leaseId } = await lend(old, "upgraded");
  await undoFrom(before);
  const failures: string[] = [];
  let taken = 0;
  let isOver = false;
  const untilMs = performance.now() + 30_000;
  // As the spool's shipper does: the same batch again, until it is taken.
  const writing = (async () => {
    while (!isOver) {
      const leases = [{ leaseId, spent: 1n, closed: false }];
      const batch = holder.batch({ usage: [usageOf(account.id, 1n)], leases });
      for (let isTaken = false; !isTaken && performance.now() < untilMs; ) {
        isTaken = await old.ingest.ingestBatch(batch, { timeoutMs }).then(
          () => true,
          ({ message }) => {
            failures.push(message);
            return false;
          },
        );
      }
      taken++;
    }
  })();
  try {
    await expect.poll(() => (isRefused ? failures.length : taken), { timeout: 10_000 }).toBeGreaterThan(3);
    const upgraded = await startMetering(postgres.url, identity);
    const then = taken;
    await expect.poll(() => taken, { timeout: 10_000 }).toBeGreaterThan(then + 3);
    isOver = true;
    await writing;
    await upgraded.stop();
    if (isRefused) expect(failures).toContain("the schema is newer than this replica");
    else expect(failures).toEqual([]);
    const [booked] = await database.query(
      `SELECT (SELECT sum(units)::int FROM usage_minute WHERE account_id = $1) AS usage,
         (SELECT sum(q0 + q1 + q2 + q3)::int FROM usage_account WHERE account_id = $1) AS account,
         (SELECT sum(spent)::int FROM quota_bucket) AS spent`,
      [account.id],
    );
    expect(booked).toEqual({ usage: taken, account: taken, spent: taken });
  } finally {
    isOver = true;
    await old.stop();
  }
});
