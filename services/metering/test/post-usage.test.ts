import { mintId } from "@gatehouse/keys";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { MOST_MICROS } from "../src/domain/money.ts";
import { openWallets } from "../src/storage/open-wallets.ts";
import { postUsage, type UsageEntry } from "../src/storage/post-usage.ts";
import { IdentityLog, startMetering, type TestMetering } from "./fixture.ts";

const identity = new IdentityLog();
const organization = identity.account(identity.root, "acme");
const atMs = Date.UTC(2026, 0, 1);
let postgres: TestPostgres;
let metering: TestMetering;

beforeAll(async () => {
  postgres = await startTestPostgres();
  metering = await startMetering(postgres.url, identity);
});

afterAll(async () => {
  await metering?.stop();
  await postgres?.stop();
});

async function open(count: number): Promise<string[]> {
  const names = Array.from({ length: count }, () => ({ accountId: mintId("acc"), currency: "USD" }));
  return (await metering.changeLog.commit((tx) => openWallets(tx, names, atMs))).value;
}

async function post(reference: string, entries: readonly Omit<UsageEntry, "reference">[], at = atMs) {
  const named = entries.map((entry) => ({ ...entry, reference }));
  return (await metering.changeLog.commit((tx) => postUsage(tx.manager, named, at))).value;
}

async function balances(walletIds: readonly string[]): Promise<number[]> {
  const rows = await metering.query<{ id: string; balance: string }>(
    "SELECT id, balance FROM wallet WHERE id = ANY($1)",
    [walletIds],
  );
  const byId = new Map(rows.map(({ id, balance }) => [id, Number(balance)]));
  return walletIds.map((id) => byId.get(id)!);
}

/** Wallets whose balance is not what their rows say, one way or the other. */
const astray = () =>
  metering.query(
    `SELECT w.id FROM wallet w WHERE w.balance <> coalesce((
       SELECT sum(CASE WHEN t.to_wallet = w.id THEN t.amount ELSE -t.amount END) FROM ledger_transfer t
       WHERE w.id IN (t.from_wallet, t.to_wallet)), 0)
     OR w.balance <> coalesce((
       SELECT CASE WHEN t.to_wallet = w.id THEN t.to_balance ELSE t.from_balance END FROM ledger_transfer t
       WHERE w.id IN (t.from_wallet, t.to_wallet) ORDER BY t.seq DESC LIMIT 1), 0)`,
    [],
  );

test("usage is one row for each wallet, however often and under however many transactions it is told", async () => {
  const [a, b] = (await open(2)) as [string, string];
  const batch = [
    { walletId: a, amount: 5 },
    { walletId: b, amount: 7 },
    { walletId: a, amount: 1 },
  ];
  expect(await Promise.all([post("batch 1", batch), post("batch 1", batch.toReversed())])).toEqual(
    expect.arrayContaining([
      { repeated: 0, full: 0 },
      { repeated: 2, full: 0 },
    ]),
  );
  await post("batch 2", [{ walletId: a, amount: -2 }]);
  expect(await balances([a, b])).toEqual([-4, -7]);
  const rows = await metering.query(
    `SELECT kind, from_wallet, to_wallet, amount::int, from_balance::int, to_balance::int, reference
     FROM ledger_transfer WHERE $1 IN (from_wallet, to_wallet) ORDER BY seq`,
    [a],
  );
  const [used, back] = [
    { from_wallet: a, to_wallet: "REVENUE" },
    { from_wallet: "REVENUE", to_wallet: a },
  ];
  expect(rows).toEqual([
    { kind: "USAGE", ...used, amount: 6, from_balance: -6, to_balance: null, reference: "batch 1" },
    { kind: "REFUND", ...back, amount: 2, from_balance: null, to_balance: -4, reference: "batch 2" },
  ]);
});

test("a wallet is opened once, and followers hear of its account", async () => {
  const name = { accountId: organization.id, currency: "credits" };
  const before = (await metering.changeLog.head()).revision;
  const opened = await Promise.all(
    Array.from({ length: 8 }, () => metering.changeLog.commit((tx) => openWallets(tx, [name, name], atMs))),
  );
  expect(new Set(opened.flatMap(({ value }) => value)).size).toBe(1);
  const changes = await metering.query("SELECT kind, entity_id FROM change_log WHERE revision > $1", [
    before,
  ]);
  expect(changes).toEqual([{ kind: "wallets", entity_id: organization.id }]);
});

test("what cannot be counted any more is left out, and said", async () => {
  const [wallet] = (await open(1)) as [string];
  expect(await post("most", [{ walletId: wallet, amount: MOST_MICROS }])).toEqual({ repeated: 0, full: 0 });
  expect(await post("more", [{ walletId: wallet, amount: 1 }])).toEqual({ repeated: 0, full: 1 });
  expect(await balances([wallet])).toEqual([-MOST_MICROS]);
});

test("of several references each is a row, in their order, and what was posted before is none", async () => {
  const [wallet] = (await open(1)) as [string];
  const entry = (reference: string, amount: number) => ({ reference, walletId: wallet, amount });
  const together = (...entries: UsageEntry[]) =>
    metering.changeLog.commit((tx) => postUsage(tx.manager, entries, atMs));
  await post("second", [{ walletId: wallet, amount: 10 }]);
  const { value } = await together(
    entry("first", 5),
    entry("second", 10),
    entry("third", MOST_MICROS),
    entry("fourth", -3),
  );
  expect(value).toEqual({ repeated: 1, full: 2 });
  const rows = await metering.query(
    `SELECT reference, amount, coalesce(from_balance, to_balance) AS left FROM ledger_transfer
     WHERE $1 IN (from_wallet, to_wallet) ORDER BY seq`,
    [wallet],
  );
  const most = BigInt(MOST_MICROS);
  expect(rows).toEqual([
    { reference: "second", amount: "10", left: "-10" },
    { reference: "first", amount: "5", left: "-15" },
    { reference: "third", amount: String(most - 15n), left: String(-most) },
  ]);
  expect(await balances([wallet])).toEqual([-MOST_MICROS]);
  expect(await astray()).toEqual([]);
});

test("rows of one wallet never go back in time", async () => {
  const [wallet] = (await open(1)) as [string];
  await post("late", [{ walletId: wallet, amount: 1 }], atMs + 1000);
  await post("early", [{ walletId: wallet, amount: 1 }], atMs);
  const rows = await metering.query<{ at: Date }>(
    "SELECT at FROM ledger_transfer WHERE from_wallet = $1 ORDER BY seq",
    [wallet],
  );
  expect(rows.map(({ at }) => at.getTime())).toEqual([atMs + 1000, atMs + 1000]);
});

test("whatever is posted, at once and again, each wallet is what its rows add up to", async () => {
  const wallets = await open(5);
  const entry = fc.record({
    walletId: fc.constantFrom(...wallets),
    amount: fc.integer({ min: -50, max: 100 }),
  });
  const batches = fc.array(fc.array(entry, { maxLength: 6 }), { minLength: 1, maxLength: 8 });
  let run = 0;
  await fc.assert(
    fc.asyncProperty(batches, async (given) => {
      const name = run++;
      const before = await balances(wallets);
      const all = given.flatMap((entries, i) =>
        entries.map((entry) => ({ ...entry, reference: `run ${name} ${i}` })),
      );
      const together = () => metering.changeLog.commit((tx) => postUsage(tx.manager, all, atMs));
      const each = given.map((entries, i) => post(`run ${name} ${i}`, entries));
      await Promise.all([...each, together(), together()]);
      const due = wallets.map((id, i) =>
        given
          .flat()
          .reduce((left, { walletId, amount }) => (walletId === id ? left - amount : left), before[i]!),
      );
      expect(await balances(wallets)).toEqual(due);
      expect(await astray()).toEqual([]);
    }),
    { numRuns: 40 },
  );
});
