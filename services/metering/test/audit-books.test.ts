import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import { auditDatabase } from "../src/audit-books.ts";
import type { Difference } from "../src/domain/books.ts";
import { AuditWalk, type Book } from "../src/domain/books.ts";
import { IdentityLog, startMetering, type TestMetering } from "./fixture.ts";
import { Holder } from "./holder.ts";

const timely = { timeoutMs: 5000 };
const identity = new IdentityLog();
const organization = identity.account(identity.root, "acme");
const root = identity.key(identity.root, "MASTER", undefined, ["fund-manager"]);
const key = identity.key(organization, "ACCOUNT");
let postgres: TestPostgres;
let metering: TestMetering;
let walletId: string;

beforeAll(async () => {
  postgres = await startTestPostgres();
  metering = await startMetering(postgres.url, identity);
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
  ]);
});

afterAll(async () => {
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
    ["BALANCE"],
  ],
  [
    "a side of a row",
    "ledger_transfer SET from_wallet = 'NOBODY' WHERE kind = 'TOP_UP'",
    "ledger_transfer SET from_wallet = 'EXTERNAL' WHERE kind = 'TOP_UP'",
    ["LOST_SIDE"],
  ],
  ["a quarter", "usage_quarter SET units = units + 1", "usage_quarter SET units = units - 1", ["QUARTER"]],
  ["a minute's cost", "usage_minute SET cost = cost + 1", "usage_minute SET cost = cost - 1", ["QUARTER"]],
])("%s that is wrong is found", async (_what, wrong, right, expected) => {
  await whileWrong(`UPDATE ${wrong}`, `UPDATE ${right}`, async () => {
    const { found } = await audit();
    expect(new Set(found.map(([what]) => what))).toEqual(new Set(expected));
  });
  expect((await audit()).found).toEqual([]);
});

test("a walk goes through all books a slice at a time, and then begins again", async () => {
  const asked: string[] = [];
  const book = (name: string, slices: number): Book => ({
    name,
    async audit(after = "0") {
      asked.push(`${name} ${after}`);
      const next = Number(after) + 1;
      return { looked: 1, differences: [], next: next < slices ? `${next}` : undefined };
    },
  });
  const walk = new AuditWalk([book("a", 2), book("b", 1)]);
  for (let i = 0; i < 4; i++) await walk.step();
  expect(asked).toEqual(["a 0", "a 1", "b 0", "a 0"]);
});
