import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { type TransactionEntry, TransactionKind } from "@gatehouse/proto/metering";
import type { Failure } from "@gatehouse/service/failure";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import { IdentityLog, startMetering, type TestKey, type TestMetering } from "./fixture.ts";

const timeoutMs = 10_000;
const identity = new IdentityLog();
const organization = identity.account(identity.root, "acme");
const [north, south] = [identity.account(organization, "north"), identity.account(organization, "south")];
const town = identity.account(north, "town");
const other = identity.account(identity.root, "other");
const funds = ["fund-manager"];
const root = identity.key(identity.root, "MASTER", undefined, funds);
const master = identity.key(organization, "MASTER", undefined, funds);
const northern = identity.key(north, "MASTER", undefined, funds);
const towns = identity.key(town, "ACCOUNT", undefined, funds);
let postgres: TestPostgres;
let metering: TestMetering;
/** When each of the first moves was booked. */
const at: number[] = [];

beforeAll(async () => {
  postgres = await startTestPostgres();
  metering = await startMetering(postgres.url, identity);
  const credits = metering.credits(root);
  const move = async (key: TestKey, from: string, to: string, amount: bigint, currency = "USD") => {
    metering.time.offsetMs += 60_000;
    const request = { from, to, amount, currency, reference: `move ${at.length}` };
    const { transaction } = await metering.credits(key).transfer(request, { timeoutMs });
    at.push(timestampMs(transaction!.at!));
  };
  for (const [account, amount] of [
    [organization, 1000n],
    [other, 7n],
  ] as const) {
    await credits.topUp({ account: account.id, amount, currency: "USD" }, { timeoutMs });
  }
  await credits.topUp({ account: organization.id, amount: 50n, currency: "credits" }, { timeoutMs });
  await move(master, organization.id, north.id, 300n);
  await move(northern, north.id, town.id, 100n);
  await move(master, organization.id, south.id, 200n);
  await move(master, town.id, organization.id, 40n);
  await move(master, organization.id, town.id, 5n, "credits");
});

afterAll(async () => {
  await metering?.stop();
  await postgres?.stop();
});

const list = (key: TestKey, request: object = {}) =>
  metering.credits(key).listTransactions(request, { timeoutMs });
const row = ({ accountId, amount, balance, currency }: TransactionEntry) => [
  accountId,
  amount,
  balance,
  currency,
];

test("an account's entries are signed, newest first, with the balance after each", async () => {
  const { transactions } = await list(master, { account: town.id });
  expect(transactions.map(row)).toEqual([
    [town.id, 5n, 5n, "credits"],
    [town.id, -40n, 60n, "USD"],
    [town.id, 100n, 100n, "USD"],
  ]);
  expect(transactions[1]).toMatchObject({
    kind: TransactionKind.TRANSFER,
    counterpartAccountId: organization.id,
    reference: "move 3",
    actorKeyId: master.id,
  });
});

test("those of all below are two entries for a transfer among them", async () => {
  const { transactions } = await list(master, { descendants: true, currency: "USD" });
  const [id] = [organization.id];
  expect(transactions.map(row)).toEqual([
    [id, 40n, 540n, "USD"],
    [town.id, -40n, 60n, "USD"],
    [south.id, 200n, 200n, "USD"],
    [id, -200n, 500n, "USD"],
    [town.id, 100n, 100n, "USD"],
    [north.id, -100n, 200n, "USD"],
    [north.id, 300n, 300n, "USD"],
    [id, -300n, 700n, "USD"],
    [id, 1000n, 1000n, "USD"],
  ]);
  const provider = await list(root, { account: identity.root.id, descendants: true, currency: "USD" });
  expect(provider.transactions).toHaveLength(10);
});

test.each([1, 2, 4, 100])("pages of %i have every entry once", async (pageSize) => {
  for (const request of [{ descendants: true }, { account: town.id }, {}]) {
    const whole = (await list(master, request)).transactions;
    const pages: TransactionEntry[] = [];
    for (let pageToken = ""; ; ) {
      const page = await list(master, { ...request, pageSize, pageToken });
      pages.push(...page.transactions);
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
    }
    expect(pages).toEqual(whole);
  }
});

test("entries are of the kinds and the time asked for, which begins inclusive and ends exclusive", async () => {
  const kinds = [TransactionKind.TOP_UP];
  const topUps = await list(master, { kinds, descendants: true });
  expect(topUps.transactions.map(({ amount }) => amount)).toEqual([50n, 1000n]);
  const span = { start: timestampFromMs(at[1]!), end: timestampFromMs(at[3]!), descendants: true };
  const amounts = (await list(master, span)).transactions.map(({ amount }) => amount);
  expect(amounts).toEqual([200n, -200n, 100n, -100n]);
});

test("names outside of the reader's reach are left out", async () => {
  const seen = async (key: TestKey, account: string) =>
    (await list(key, { account })).transactions.map(({ counterpartAccountId, actorKeyId }) => [
      counterpartAccountId,
      actorKeyId,
    ]);
  expect(await seen(towns, town.id)).toEqual([
    ["", ""],
    ["", ""],
    ["", ""],
  ]);
  expect(await seen(northern, town.id)).toEqual([
    ["", ""],
    ["", ""],
    [north.id, northern.id],
  ]);
});

test("a key that reaches one account lists that one, whatever it asks for", async () => {
  const { transactions } = await list(towns, { descendants: true });
  expect(new Set(transactions.map(({ accountId }) => accountId))).toEqual(new Set([town.id]));
  const alone = identity.key(organization, "ACCOUNT", undefined, funds);
  const { balances } = await metering.credits(alone).listBalances({ descendants: true }, { timeoutMs });
  expect(new Set(balances.map(({ accountId }) => accountId))).toEqual(new Set([organization.id]));
});

test("a balance is what it was at a time", async () => {
  const amount = async (account: string, atMs: number) =>
    (
      await metering
        .credits(master)
        .getBalance({ account, currency: "USD", at: timestampFromMs(atMs) }, { timeoutMs })
    ).balance!.amount;
  expect(await amount(organization.id, at[0]! - 1)).toBe(1000n);
  expect(await amount(organization.id, at[0]!)).toBe(700n);
  expect(await amount(organization.id, at[2]!)).toBe(500n);
  expect(await amount(town.id, at[0]!)).toBe(0n);
  expect(await amount(town.id, at[3]!)).toBe(60n);
  expect(await amount(organization.id, 0)).toBe(0n);
});

test("the balances of an organization add up to what came to it", async () => {
  const { balances } = await metering
    .credits(master)
    .listBalances({ descendants: true, currency: "USD" }, { timeoutMs });
  expect(balances.map(({ accountId, amount }) => [accountId, amount])).toEqual([
    [organization.id, 540n],
    [north.id, 200n],
    [south.id, 200n],
    [town.id, 60n],
  ]);
  const paged: string[] = [];
  for (let pageToken = ""; ; ) {
    const page = await metering
      .credits(master)
      .listBalances({ descendants: true, pageSize: 2, pageToken }, { timeoutMs });
    paged.push(...page.balances.map(({ accountId, currency }) => `${accountId} ${currency}`));
    pageToken = page.nextPageToken;
    if (pageToken === "") break;
  }
  expect(paged).toHaveLength(6);
  expect(paged.toSorted()).toEqual(paged);
});

test("an account without a wallet has nothing", async () => {
  const { balance } = await metering
    .credits(master)
    .getBalance({ account: south.id, currency: "points" }, { timeoutMs });
  expect(balance).toMatchObject({ accountId: south.id, currency: "points", amount: 0n, available: 0n });
});

test("every bad field is named at once", async () => {
  const fields = (call: Promise<unknown>) =>
    call.then(
      () => [],
      ({ violations }: Failure) => violations.map(({ field }) => field),
    );
  const page = { pageSize: 501, pageToken: "x" };
  const late = { seconds: 1n << 40n, nanos: 0 };
  const credits = metering.credits(master);
  const bad = { account: "\0", currency: "$", ...page };
  expect(await fields(credits.getBalance({ account: "\0", at: late }, { timeoutMs }))).toEqual([
    "account",
    "currency",
    "at",
  ]);
  expect(await fields(credits.listBalances(bad, { timeoutMs }))).toEqual([
    "account",
    "currency",
    "page_size",
    "page_token",
  ]);
  const span = { start: timestampFromMs(5), end: timestampFromMs(5) };
  expect(await fields(list(master, { ...bad, ...span, kinds: [99] }))).toEqual([
    "account",
    "currency",
    "kinds[0]",
    "end",
    "page_size",
    "page_token",
  ]);
});
