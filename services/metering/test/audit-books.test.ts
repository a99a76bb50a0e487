import { openDatabase } from "@gatehouse/changefeed";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import type { DataSource } from "typeorm";
import { afterAll, beforeAll, expect, test } from "vitest";
import { auditDatabase } from "../src/audit-books.ts";
import type { Difference } from "../src/domain/books.ts";
import { AuditWalk, type Book } from "../src/domain/books.ts";
import { WalletBook } from "../src/storage/wallet-books.ts";
import { IdentityLog, startMetering, type TestMetering } from "./fixture.ts";
import { Holder } from "./holder.ts";

const timely = { timeoutMs: 5000 };
const identity = new IdentityLog();
const organization = identity.account(identity.root, "acme");
const root = identity.key(identity.root, "MASTER", undefined, ["fund-manager"]);
const key = identity.key(organization, "ACCOUNT");
let postgres: TestPostgres;
let metering: TestMetering;
let database: DataSource;
let walletId: string;

beforeAll(async () => {
  postgres = await startTestPostgres();
  metering = await startMetering(postgres.url, identity);
  database = await openDatabase({ url: postgres.url, schema: "metering", entities: [], migrations: [] });
  await metering.follower.prove();
  const credits = metering.credits(root);
  await credits.topUp({ account: organization.id, amount: 100n, currency: "USD" }, timely);
  await credits.adjust({ account: organization.id, amount: -5n, currency: "USD", reason: "r" }, timely);
  const [row] = await metering.query<{ id: string }>("SELECT id FROM wallet", []);
  walletId = row!.id;
  const holder = new Holder(metering, "holder");
  await holder.acquire([organization.id, identity.root.id], { requests: 1 }, { costs: { [walletId]: 10 } });
  holder.pay(walletId, 7);
  const minute = BigInt(Math.floor(Date.now() / 60_000) - 120);
  const usage = {
    keyId: key.id,
    accountId: organization.id,
    meter: "requests",
    outcome: "CHARGED",
    units: 7n,
  };
  await holder.ship(undefined, [
    { ...usage, minute },
    { ...usage, minute: minute + 1n },
    { ...usage, minute, outcome: "VALID" },
  ]);
});

afterAll(async () => {
  await database?.destroy();
  await metering?.stop();
  await postgres?.stop();
});

async function audit() {
  const found: Difference[] = [];
  const { looked } = await auditDatabase(postgres.url, (difference) => found.push(difference));
  return { looked, found: found.map(({ what, is, shouldBe }) => [what, is, shouldBe]) };
}

/** Runs `check` while a row is wrong. */
async function whileWrong(wrong: string, right: string, check: () => Promise<void>): Promise<void> {
  await metering.query(wrong, []);
  try {
    await check();
  } finally {
    await metering.query(right, []);
  }
}

test("books that add up are looked at, and nothing is found", async () => {
  const { looked, found } = await audit();
  expect(found).toEqual([]);
  expect(looked).toBeGreaterThan(4);
});

test.each([
  [
    "a balance",
    "wallet SET balance = balance + 1",
    "wallet SET balance = balance - 1",
    ["BALANCE", "RUNNING_BALANCE"],
  ],
  [
    "what is lent of a wallet",
    "wallet SET leased = leased + 1",
    "wallet SET leased = leased - 1",
    ["WALLET_LEASED"],
  ],
  [
    "a row of the ledger",
    "ledger_transfer SET amount = amount + 1 WHERE kind = 'USAGE'",
    "ledger_transfer SET amount = amount - 1 WHERE kind = 'USAGE'",
    ["BALANCE", "WALLET_HOUR"],
  ],
  [
    "what a wallet moved in an hour",
    "wallet_hour SET amount = amount + 1 WHERE kind = 'TOP_UP'",
    "wallet_hour SET amount = amount - 1 WHERE kind = 'TOP_UP'",
    ["WALLET_HOUR"],
  ],
  [
    "when it moved",
    "wallet_hour SET hour = hour - interval '1 hour' WHERE kind = 'TOP_UP'",
    "wallet_hour SET hour = hour + interval '1 hour' WHERE kind = 'TOP_UP'",
    ["WALLET_HOUR"],
  ],
  [
    "a side of a row",
    "ledger_transfer SET from_wallet = 'NOBODY' WHERE kind = 'TOP_UP'",
    "ledger_transfer SET from_wallet = 'EXTERNAL' WHERE kind = 'TOP_UP'",
    ["LOST_SIDE"],
  ],
  [
    "a quarter, which its account's hour follows,",
    "usage_quarter SET units = units + 1",
    "usage_quarter SET units = units - 1",
    ["QUARTER"],
  ],
  [
    "what an account used in an hour",
    "usage_account SET q2 = q2 + 1",
    "usage_account SET q2 = q2 - 1",
    ["ACCOUNT_QUARTER"],
  ],
  ["what that cost", "usage_account SET c0 = c0 - 1", "usage_account SET c0 = c0 + 1", ["ACCOUNT_QUARTER"]],
  ["a minute's cost", "usage_minute SET cost = cost + 1", "usage_minute SET cost = cost - 1", ["QUARTER"]],
])("%s that is wrong is found", async (_what, wrong, right, expected) => {
  await whileWrong(`UPDATE ${wrong}`, `UPDATE ${right}`, async () => {
    const { found } = await audit();
    expect(new Set(found.map(([what]) => what))).toEqual(new Set(expected));
  });
  expect((await audit()).found).toEqual([]);
});

test("wallets are looked at slice by slice, each once", async () => {
  const book = new WalletBook(database);
  const accounts = Array.from({ length: 45 }, (_, n) => identity.account(organization, `payer-${n}`));
  for (const account of accounts) {
    await metering.credits(root).topUp({ account: account.id, amount: 1n, currency: "USD" }, timely);
  }
  const looked: number[] = [];
  let after: string | undefined;
  do {
    const end = await book.end(after);
    looked.push((await book.audit(after, end)).looked);
    after = end;
  } while (after !== undefined);
  expect(looked).toEqual([20, 20, 6]);
});

const asked: string[] = [];
const bookOf = (name: string, slices: number, fails?: { readonly at: string }): Book => ({
  name,
  async end(after = "0") {
    const next = Number(after) + 1;
    return next < slices ? `${next}` : undefined;
  },
  async audit(after = "0") {
    asked.push(`${name} ${after}`);
    if (fails?.at === after) throw new Error("out of time");
    return { looked: 1, differences: [] };
  },
});

test("a walk goes through all books a slice at a time, and then begins again", async () => {
  asked.length = 0;
  const walk = new AuditWalk([bookOf("a", 2), bookOf("b", 1)]);
  for (let i = 0; i < 4; i++) await walk.step();
  expect(asked).toEqual(["a 0", "a 1", "b 0", "a 0"]);
});

test("a slice that fails is told of, and the walk goes on behind it", async () => {
  asked.length = 0;
  const walk = new AuditWalk([bookOf("a", 3, { at: "1" }), bookOf("b", 1)]);
  await walk.step();
  await expect(walk.step()).rejects.toThrow("a after 1 were not looked at");
  for (let i = 0; i < 3; i++) await walk.step();
  expect(asked).toEqual(["a 0", "a 1", "a 2", "b 0", "a 0"]);
});

test("a book of which not even the end of a slice is found holds up no other", async () => {
  asked.length = 0;
  const lost: Book = { ...bookOf("a", 1), end: () => Promise.reject(new Error("no such table")) };
  const walk = new AuditWalk([lost, bookOf("b", 1)]);
  await expect(walk.step()).rejects.toThrow("a after the beginning");
  await walk.step();
  expect(asked).toEqual(["b 0"]);
});
