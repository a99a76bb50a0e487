import type { MessageInitShape } from "@bufbuild/protobuf";
import { TransactionKind, type TransferRequestSchema } from "@gatehouse/proto/metering";
import type { Failure } from "@gatehouse/service/failure";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { IdentityLog, startMetering, type TestKey, type TestMetering } from "./fixture.ts";

const timeoutMs = 10_000;
const identity = new IdentityLog();
const organization = identity.account(identity.root, "acme");
const other = identity.account(identity.root, "other");
const root = identity.key(identity.root, "MASTER", undefined, ["fund-manager"]);
const master = identity.key(organization, "MASTER", undefined, ["fund-manager"]);
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

let made = 0;
const account = (name = `account-${made++}`) => identity.account(organization, name);
const topUp = (to: string, amount: bigint, more: object = {}, key: TestKey = root) =>
  metering.credits(key).topUp({ account: to, amount, currency: "USD", ...more }, { timeoutMs });
type Request = MessageInitShape<typeof TransferRequestSchema>;
const transfer = (request: Request, key: TestKey = master) =>
  metering.credits(key).transfer({ currency: "USD", ...request }, { timeoutMs });
const setCreditLimit = (of: string, creditLimit: bigint) =>
  metering.credits(root).setCreditLimit({ account: of, currency: "USD", creditLimit }, { timeoutMs });
const balanceOf = async (of: string, currency = "USD") =>
  (await metering.credits(root).getBalance({ account: of, currency }, { timeoutMs })).balance!;
const amountOf = async (of: string) => (await balanceOf(of)).amount;
const failureOf = (call: Promise<unknown>) =>
  call.then(
    () => ({ code: "OK", reason: "", message: "", violations: [] }),
    ({ code, reason, message, violations }: Failure) => ({ code, reason, message, violations }),
  );
const transactions = async () =>
  Number((await metering.query<{ count: string }>("SELECT count(*) FROM ledger_transfer", []))[0]!.count);

test("money comes from outside and moves between accounts, each side with its balance after it", async () => {
  const [a, b] = [account(), account()];
  const { transaction: top, freshness } = await topUp(a.id, 1_500_000n, { reference: "invoice 7" });
  expect(freshness).not.toBe("");
  expect(top).toMatchObject({
    kind: TransactionKind.TOP_UP,
    fromAccountId: "",
    toAccountId: a.id,
    amount: 1_500_000n,
    toBalance: 1_500_000n,
    reference: "invoice 7",
    actorKeyId: root.id,
  });
  const { transaction } = await transfer({ from: a.slug, to: b.id, amount: 500_000n, reference: "lunch" });
  expect(transaction).toMatchObject({
    kind: TransactionKind.TRANSFER,
    currency: "USD",
    fromAccountId: a.id,
    toAccountId: b.id,
    fromBalance: 1_000_000n,
    toBalance: 500_000n,
    reference: "lunch",
    actorKeyId: master.id,
  });
  expect(transaction!.id).toMatch(/^txn_/);
  expect(await balanceOf(b.id)).toMatchObject({ amount: 500_000n, available: 500_000n, leased: 0n });
});

describe("a key of a request", () => {
  test("with the same body gets the first answer, and nothing moves again", async () => {
    const [a, b] = [account(), account()];
    const top = { idempotencyKey: `top ${a.id}` };
    const [first, again] = [await topUp(a.id, 10n, top), await topUp(a.id, 10n, top)];
    expect(again.transaction).toEqual(first.transaction);
    const request = { from: a.id, to: b.id, amount: 4n, idempotencyKey: `move ${a.id}` };
    const moved = await transfer(request);
    await transfer({ from: a.id, to: b.id, amount: 1n });
    expect((await transfer(request)).transaction).toEqual(moved.transaction);
    expect([await amountOf(a.id), await amountOf(b.id)]).toEqual([5n, 5n]);
  });

  test("with another body is refused, whatever differs, and so it is in another call", async () => {
    const [a, b] = [account(), account()];
    const idempotencyKey = `differs ${a.id}`;
    await topUp(a.id, 10n, { idempotencyKey });
    const mismatch = { code: "ABORTED", reason: "IDEMPOTENCY_MISMATCH" };
    await expect(topUp(a.id, 11n, { idempotencyKey })).rejects.toMatchObject(mismatch);
    await expect(topUp(b.id, 10n, { idempotencyKey })).rejects.toMatchObject(mismatch);
    await expect(topUp(a.id, 10n, { idempotencyKey, reference: "x" })).rejects.toMatchObject(mismatch);
    const request = { from: a.id, to: b.id, amount: 10n, idempotencyKey };
    await expect(transfer(request, root)).rejects.toMatchObject(mismatch);
    // The keys of another account are its own.
    expect((await transfer(request, master)).transaction!.amount).toBe(10n);
  });

  test("that was refused stays refused with the same error, though it would pass by now", async () => {
    const [a, b] = [account(), account()];
    const request = { from: a.id, to: b.id, amount: 5n, idempotencyKey: `poor ${a.id}` };
    const first = await failureOf(transfer(request));
    expect(first).toMatchObject({ code: "FAILED_PRECONDITION", reason: "CREDIT_EXHAUSTED" });
    await topUp(a.id, 100n);
    expect(await failureOf(transfer(request))).toEqual(first);
    expect((await transfer({ ...request, idempotencyKey: "" })).transaction!.fromBalance).toBe(95n);
    const nobody = { from: a.id, to: "later", amount: 5n, idempotencyKey: `nobody ${a.id}` };
    const missing = await failureOf(transfer(nobody));
    expect(missing).toMatchObject({ code: "NOT_FOUND" });
    account("later");
    expect(await failureOf(transfer(nobody))).toEqual(missing);
  });

  test("shows what was moved to no key of the account that does not reach it", async () => {
    const [a, b] = [account(), account()];
    await topUp(a.id, 10n);
    const alone = identity.key(organization, "ACCOUNT", undefined, ["fund-manager"]);
    const request = { from: a.id, to: b.id, amount: 1n, idempotencyKey: `reach ${a.id}` };
    const unreached = await failureOf(transfer({ ...request, idempotencyKey: "" }, alone));
    expect(unreached).toMatchObject({ code: "NOT_FOUND" });
    const { transaction } = await transfer(request);
    expect(await failureOf(transfer(request, alone))).toEqual(unreached);
    const [mine, theirs] = await Promise.all([transfer(request), failureOf(transfer(request, alone))]);
    expect(mine.transaction).toEqual(transaction);
    expect(theirs).toEqual(unreached);
  });

  test("a thousand times at once moves money once", async () => {
    const [a, b] = [account(), account()];
    await topUp(a.id, 1000n);
    const before = await transactions();
    const request = { from: a.id, to: b.id, amount: 1n, idempotencyKey: `crowd ${a.id}` };
    // Over one connection: what is asked of at once is metering.
    const credits = metering.credits(master);
    const once = () => credits.transfer({ currency: "USD", ...request }, { timeoutMs: 30_000 });
    const answers = await Promise.all(Array.from({ length: 1000 }, once));
    expect(new Set(answers.map(({ transaction }) => transaction!.id)).size).toBe(1);
    expect([await amountOf(a.id), await amountOf(b.id)]).toEqual([999n, 1n]);
    expect(await transactions()).toBe(before + 1);
  });

  test("of a malformed request is not used up", async () => {
    const [a, b] = [account(), account()];
    await topUp(a.id, 10n);
    const request = { from: a.id, to: b.id, amount: 0n, idempotencyKey: `typo ${a.id}` };
    await expect(transfer(request)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    expect((await transfer({ ...request, amount: 1n })).transaction!.amount).toBe(1n);
  });
});

test("what concurrent transfers take never passes the balance, in any order", async () => {
  const [a, b, c] = [account(), account(), account()];
  await topUp(a.id, 100n);
  const calls = Array.from({ length: 60 }, (_, i) =>
    failureOf(transfer({ from: a.id, to: i % 2 === 0 ? b.id : c.id, amount: 3n })),
  );
  const codes = (await Promise.all(calls)).map(({ code }) => code);
  expect(codes.filter((code) => code === "OK")).toHaveLength(33);
  expect(await amountOf(a.id)).toBe(1n);
  expect((await amountOf(b.id)) + (await amountOf(c.id))).toBe(99n);
});

test("a bad transfer among good ones fails alone", async () => {
  const [a, b] = [account(), account()];
  await topUp(a.id, 10n);
  const outcomes = await Promise.all([
    failureOf(transfer({ from: a.id, to: b.id, amount: 6n })),
    failureOf(transfer({ from: a.id, to: b.id, amount: 6n })),
    failureOf(topUp(b.id, 1n)),
  ]);
  expect(outcomes.map(({ code }) => code).sort()).toEqual(["FAILED_PRECONDITION", "OK", "OK"]);
});

test("a balance goes as far below zero as its credit limit, and no further", async () => {
  const [a, b] = [account(), account()];
  await setCreditLimit(a.id, 10n);
  await expect(transfer({ from: a.id, to: b.id, amount: 11n })).rejects.toMatchObject({
    reason: "CREDIT_EXHAUSTED",
  });
  await transfer({ from: a.id, to: b.id, amount: 10n });
  expect(await balanceOf(a.id)).toMatchObject({ amount: -10n, available: 0n, creditLimit: 10n });
  await setCreditLimit(a.id, 4n);
  expect(await balanceOf(a.id)).toMatchObject({ amount: -10n, available: -6n });
});

test("a suspended account can be paid, a closed one that owes nothing and what is below it cannot, and both can be emptied", async () => {
  const [a, b] = [account(), account()];
  const below = identity.account(b, "below-the-closed");
  await topUp(b.id, 10n);
  identity.change({ ...b, status: "SUSPENDED" });
  await topUp(b.id, 10n);
  await topUp(a.id, 10n);
  await transfer({ from: a.id, to: b.id, amount: 10n });
  identity.change({ ...b, status: "CLOSED" });
  await metering.follower.prove();
  const closed = { code: "FAILED_PRECONDITION", reason: "FINAL_STATE" };
  await expect(topUp(b.id, 1n)).rejects.toMatchObject(closed);
  await expect(topUp(below.id, 1n)).rejects.toMatchObject(closed);
  await expect(transfer({ from: a.id, to: b.id, amount: 1n })).rejects.toMatchObject(closed);
  await transfer({ from: b.id, to: a.id, amount: 30n });
  expect(await amountOf(b.id)).toBe(0n);
});

test("a closed account that owes is paid what it owes, by every way to pay, and no more", async () => {
  const [closed, payer] = [account(), account()];
  await topUp(payer.id, 100n);
  identity.change({ ...closed, status: "CLOSED" });
  await metering.follower.prove();
  const adjust = (amount: bigint, of: object = { currency: "USD" }) =>
    metering.credits(root).adjust({ account: closed.id, amount, reason: "late", ...of }, { timeoutMs });
  const pay = (amount: bigint) => transfer({ from: payer.id, to: closed.id, amount });
  const { transaction: late } = await adjust(-150n);
  const refund = (amount: bigint) => adjust(amount, { refundOf: late!.id });
  const final = { code: "FAILED_PRECONDITION", reason: "FINAL_STATE" };
  await topUp(closed.id, 20n);
  await pay(20n);
  await adjust(20n);
  await expect(refund(91n)).rejects.toMatchObject(final);
  await refund(60n);
  for (const each of [(n: bigint) => topUp(closed.id, n), pay, adjust]) {
    await expect(each(31n)).rejects.toMatchObject(final);
  }
  const calls = Array.from({ length: 20 }, () => failureOf(topUp(closed.id, 10n)));
  const codes = (await Promise.all(calls)).map(({ code }) => code);
  expect(codes.filter((code) => code === "OK")).toHaveLength(3);
  expect(await amountOf(closed.id)).toBe(0n);
});

test("a closed account gives what it has, and none of its credit", async () => {
  const [closed, receiver] = [account(), account()];
  await setCreditLimit(closed.id, 60n);
  await topUp(closed.id, 10n);
  identity.change({ ...closed, status: "CLOSED" });
  await metering.follower.prove();
  const give = (amount: bigint) => transfer({ from: closed.id, to: receiver.id, amount });
  await expect(give(11n)).rejects.toMatchObject({ reason: "CREDIT_EXHAUSTED" });
  await give(10n);
  expect(await amountOf(closed.id)).toBe(0n);
});

test("a refund pays no closed account that owes nothing, whichever side it is asked for", async () => {
  const [a, b] = [account(), account()];
  await topUp(a.id, 10n);
  const { transaction } = await transfer({ from: a.id, to: b.id, amount: 10n });
  identity.change({ ...a, status: "CLOSED" });
  await metering.follower.prove();
  const refund = (of: string) =>
    metering
      .credits(root)
      .adjust({ account: of, refundOf: transaction!.id, reason: "a mistake" }, { timeoutMs });
  const closed = { code: "FAILED_PRECONDITION", reason: "FINAL_STATE" };
  await expect(refund(a.id)).rejects.toMatchObject(closed);
  await expect(refund(b.id)).rejects.toMatchObject(closed);
  expect([await amountOf(a.id), await amountOf(b.id)]).toEqual([0n, 10n]);
  identity.change(a);
  await metering.follower.prove();
  await refund(b.id);
  expect([await amountOf(a.id), await amountOf(b.id)]).toEqual([10n, 0n]);
});

test("a balance that cannot be counted less what is lent is as low as can be counted", async () => {
  const a = account();
  await topUp(a.id, 1n);
  await metering.query("UPDATE wallet SET balance = $2, leased = 5 WHERE account_id = $1", [
    a.id,
    -Number.MAX_SAFE_INTEGER,
  ]);
  expect((await balanceOf(a.id)).available).toBe(BigInt(-Number.MAX_SAFE_INTEGER));
});

test("money stays within an organization, and the root has none", async () => {
  const a = account();
  await topUp(a.id, 10n);
  const fieldOf = async (request: Request) =>
    (await failureOf(transfer({ amount: 1n, ...request }, root))).violations.map(({ field }) => field);
  expect(await fieldOf({ from: a.id, to: other.id })).toEqual(["to"]);
  expect(await fieldOf({ from: a.id, to: a.id })).toEqual(["to"]);
  expect(await fieldOf({ from: identity.root.id, to: a.id })).toEqual(["from"]);
  expect(await fieldOf({ from: a.id, to: "provider" })).toEqual(["to"]);
});

test("every bad field is named at once", async () => {
  const bad = {
    from: "",
    to: "x".repeat(201),
    amount: -1n,
    currency: "US Dollar",
    reference: "\0",
    idempotencyKey: "x".repeat(201),
  };
  const { violations } = await failureOf(transfer(bad));
  expect(violations.map(({ field }) => field)).toEqual([
    "from",
    "to",
    "amount",
    "currency",
    "reference",
    "idempotency_key",
  ]);
  const tooMuch = await failureOf(topUp(account().id, 2n ** 53n));
  expect(tooMuch).toMatchObject({ code: "INVALID_ARGUMENT", violations: [{ field: "amount" }] });
});

test("a balance holds no more than can be counted", async () => {
  const a = account();
  const most = BigInt(Number.MAX_SAFE_INTEGER);
  await topUp(a.id, most);
  expect(await failureOf(topUp(a.id, 1n))).toMatchObject({
    code: "INVALID_ARGUMENT",
    violations: [{ field: "amount" }],
  });
  await setCreditLimit(a.id, most);
  expect((await balanceOf(a.id)).available).toBe(most);
});

test("who may not, and what is out of reach", async () => {
  const [a, b] = [account(), account()];
  await topUp(a.id, 10n);
  const own = identity.key(a, "ACCOUNT", undefined, ["fund-manager"]);
  const auditor = identity.key(organization, "MASTER", undefined, ["auditor"]);
  const foreign = identity.key(other, "MASTER", undefined, ["fund-manager"]);
  await expect(topUp(a.id, 1n, {}, master)).rejects.toMatchObject({ reason: "PROVIDER_ONLY" });
  await expect(transfer({ from: a.id, to: b.id, amount: 1n }, auditor)).rejects.toMatchObject({
    reason: "SCOPE_DENIED",
  });
  const nothing = await failureOf(transfer({ from: "acc_00000000000000000000", to: b.id, amount: 1n }));
  expect(nothing).toMatchObject({ code: "NOT_FOUND" });
  expect(await failureOf(transfer({ from: a.id, to: b.id, amount: 1n }, own))).toEqual(nothing);
  expect(await failureOf(transfer({ from: a.id, to: b.id, amount: 1n }, foreign))).toEqual(nothing);
  expect(await failureOf(transfer({ from: a.id, to: "nobody", amount: 1n }))).toEqual(nothing);
});
