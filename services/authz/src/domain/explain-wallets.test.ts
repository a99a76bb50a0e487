import { beforeEach, expect, test } from "vitest";
import { reading, TestExplainer } from "./explain.fixture.ts";
import { pricesOf } from "./price-book.fixture.ts";

const call = { needs: [{ meter: "requests", units: 2 }] };
let authz: TestExplainer;
let presented: string;

beforeEach(async () => {
  authz = new TestExplainer();
  authz.prices = await pricesOf([{ micros: 7 }]);
  presented = authz.key("acc_org").presented;
});

/** Of the organization, in USD. */
function wallet(more: object = {}) {
  const usd = {
    id: "wal_1",
    currency: "USD",
    balance: 100,
    creditLimit: 0,
    leased: 0,
    leasedHere: 0,
    ...more,
  };
  authz.money = [
    { accountId: "acc_org", usesParentBalance: false, wallets: [usd] },
    { accountId: "acc_root", usesParentBalance: false, wallets: [] },
  ];
}

test("shows the wallet that pays, what is in it, and what the call costs", async () => {
  wallet({ creditLimit: 10, leased: 40, leasedHere: 30 });
  authz.inHand.set("wal_1", { held: 20, isReturning: false });
  const { decision, buckets } = await authz.explain({ presented, ...call });
  expect(decision).toMatchObject({ code: "VALID", cost: [{ currency: "USD", micros: 14 }] });
  // Of what is lent here, ten were spent since.
  expect(buckets).toMatchObject([
    {
      limit: { id: "wal_1", nodeId: "acc_org", kind: "wallet", currency: "USD" },
      ...{ units: 14, used: 10, leased: 30, remaining: 70, held: 20, outcome: "PASSED" },
    },
  ]);
});

test("says that credits are used up, after the limits had their say", async () => {
  wallet({ balance: 13 });
  const { decision, decidedBy } = await authz.explain({ presented, ...call });
  expect([decision.code, decidedBy]).toEqual(["CREDIT_EXHAUSTED", "wal_1"]);
  expect(decision).toMatchObject({ binding: { remaining: 13 }, retryAfterMs: undefined });
  authz.readings = [reading("acc_org", {}, { remaining: 0, used: 100 })];
  expect((await authz.explain({ presented, ...call })).decision.code).toBe("QUOTA_EXCEEDED");
});

test("a payer without a wallet is told apart from one that is empty, and a free call needs none", async () => {
  authz.money = [
    { accountId: "acc_org", usesParentBalance: false, wallets: [] },
    { accountId: "acc_root", usesParentBalance: false, wallets: [] },
  ];
  const { decision, decidedBy, buckets } = await authz.explain({ presented, ...call });
  expect([decision.code, decidedBy, decision.binding]).toEqual([
    "CREDIT_EXHAUSTED",
    "CREDIT_EXHAUSTED",
    undefined,
  ]);
  expect(buckets).toMatchObject([{ limit: { id: "", nodeId: "acc_org" }, outcome: "FAILED" }]);
  authz.prices = await pricesOf([]);
  expect((await authz.explain({ presented, ...call })).buckets).toEqual([]);
});

test("of a wallet above the verifier's account it says that it decided, and no number", async () => {
  authz.account("acc_team", { parentId: "acc_org", organizationId: "acc_org" });
  const own = authz.key("acc_team", { kind: "MASTER", roles: ["administrator"], scopes: ["**"] });
  wallet({ balance: 0 });
  authz.money = [{ accountId: "acc_team", usesParentBalance: true, wallets: [] }, ...authz.money];
  const key = authz.cache;
  key.fillKey(own.id, authz.identity.resolveKeys([own.id]));
  const verifier = key.key(own.id)!;
  const { decision, decidedBy, buckets } = await authz.explain(
    { presented: own.presented, ...call },
    verifier,
  );
  expect([decision.code, decidedBy, buckets]).toEqual(["CREDIT_EXHAUSTED", "above", []]);
});
