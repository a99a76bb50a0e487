import type { MessageInitShape } from "@bufbuild/protobuf";
import { type AdjustRequestSchema, TransactionKind } from "@gatehouse/proto/metering";
import type { Failure } from "@gatehouse/service/failure";
import { startTestPostgres, type TestPostgres } from "@gatehouse/stack/test-postgres";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { IdentityLog, startMetering, type TestMetering } from "./fixture.ts";

const timeoutMs = 10_000;
const identity = new IdentityLog();
const organization = identity.account(identity.root, "acme");
identity.account(organization, "team");
const funds = ["fund-manager"];
const root = identity.key(identity.root, "MASTER", undefined, funds);
const master = identity.key(organization, "MASTER", undefined, funds);
let postgres: TestPostgres;
let metering: TestMetering;
let made = 0;

beforeAll(async () => {
  postgres = await startTestPostgres();
  metering = await startMetering(postgres.url, identity);
});

afterAll(async () => {
  await metering?.stop();
  await postgres?.stop();
});

const fieldsOf = (call: Promise<unknown>) =>
  call.then(
    () => [],
    ({ violations }: Failure) => violations.map(({ field }) => field),
  );
const auditOf = (action: string) =>
  metering.query<{ target_id: string; after: object; actor_key_id: string }>(
    "SELECT target_id, after, actor_key_id FROM audit_event WHERE action = $1 AND outcome = 'OK' ORDER BY id",
    [action],
  );

describe("an adjustment", () => {
  type Request = MessageInitShape<typeof AdjustRequestSchema>;
  const adjust = (request: Request) =>
    metering.credits(root).adjust({ reason: "put right", ...request }, { timeoutMs });
  const topUp = async (account: string, amount: bigint) =>
    (await metering.credits(root).topUp({ account, amount, currency: "USD" }, { timeoutMs })).transaction!;
  const amountOf = async (account: string) =>
    (await metering.credits(root).getBalance({ account, currency: "USD" }, { timeoutMs })).balance!.amount;
  const account = () => identity.account(organization, `adjusted-${made++}`).id;

  test("gives and takes, below zero too, and is audited with its reason", async () => {
    const id = account();
    const { transaction } = await adjust({ account: id, amount: 10n, currency: "USD" });
    expect(transaction).toMatchObject({ kind: TransactionKind.ADJUSTMENT, toAccountId: id, amount: 10n });
    await adjust({ account: id, amount: -25n, currency: "USD", reason: "charged back" });
    expect(await amountOf(id)).toBe(-15n);
    const last = (await auditOf("gatehouse.credits.adjust")).at(-1);
    expect(last).toMatchObject({ target_id: id, after: { reason: "charged back", amount: 25 } });
  });

  test("takes a top-up back once, as a whole or in part, and never more", async () => {
    const id = account();
    const top = await topUp(id, 100n);
    const refund = (amount: bigint, refundOf = top.id) => adjust({ account: id, amount, refundOf });
    expect(await fieldsOf(refund(-101n))).toEqual(["amount"]);
    expect(await fieldsOf(refund(10n))).toEqual(["amount"]);
    const { transaction } = await refund(-40n);
    expect(transaction).toMatchObject({
      kind: TransactionKind.REFUND,
      fromAccountId: id,
      amount: 40n,
      refundOf: top.id,
    });
    expect(await amountOf(id)).toBe(60n);
    const before = { code: "FAILED_PRECONDITION", reason: "FINAL_STATE" };
    await expect(refund(-1n)).rejects.toMatchObject(before);
    await expect(refund(0n, transaction!.id)).rejects.toMatchObject(before);
    await expect(refund(0n, "txn_00000000000000000000")).rejects.toMatchObject({ code: "NOT_FOUND" });
    const elsewhere = adjust({ account: account(), amount: 0n, refundOf: (await topUp(id, 1n)).id });
    await expect(elsewhere).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  test("takes one transaction back once, however many ask at once", async () => {
    const id = account();
    const top = await topUp(id, 100n);
    const calls = Array.from({ length: 20 }, () => adjust({ account: id, amount: -10n, refundOf: top.id }));
    const done = (await Promise.allSettled(calls)).filter(({ status }) => status === "fulfilled");
    expect(done).toHaveLength(1);
    expect(await amountOf(id)).toBe(90n);
  });

  test("takes a transfer back to where it came from", async () => {
    const [a, b] = [account(), account()];
    await topUp(a, 100n);
    const request = { from: a, to: b, amount: 70n, currency: "USD" };
    const { transaction } = await metering.credits(master).transfer(request, { timeoutMs });
    await adjust({ account: a, refundOf: transaction!.id });
    expect([await amountOf(a), await amountOf(b)]).toEqual([100n, 0n]);
  });

  test("names every bad field at once", async () => {
    expect(await fieldsOf(adjust({ reason: "" }))).toEqual(["account", "amount", "currency", "reason"]);
    const refund = { account: "team", currency: "USD", refundOf: "txn_1" };
    expect(await fieldsOf(adjust(refund))).toEqual(["refund_of", "currency"]);
  });
});

test("top-ups are audited, transfers are in the ledger alone", async () => {
  const [a, b] = ["paying", "paid"].map((slug) => identity.account(organization, slug).id) as [
    string,
    string,
  ];
  await metering
    .credits(root)
    .topUp({ account: a, amount: 5n, currency: "USD", reference: "r" }, { timeoutMs });
  await metering.credits(master).transfer({ from: a, to: b, amount: 5n, currency: "USD" }, { timeoutMs });
  const events = (await auditOf("gatehouse.credits.top-up")).filter(({ target_id }) => target_id === a);
  expect(events).toMatchObject([{ actor_key_id: root.id, after: { amount: 5, reference: "r" } }]);
  expect(await auditOf("gatehouse.credits.transfer")).toEqual([]);
});
