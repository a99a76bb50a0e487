import type { Price } from "@gatehouse/buckets";
import { beforeEach, expect, test } from "vitest";
import type { Journal, PriceName, ReservationRecord } from "./journal.ts";
import { LeasePool } from "./lease-pool.ts";
import type { AcquireReply, Ask, AskResult, LeaseSource } from "./lease-source.ts";
import type { Limit } from "./limit.ts";
import { LimitBook, type NodeMoney } from "./limit-book.ts";
import { MeteringReplica } from "./metering-replica.ts";
import { priceOf } from "./price-book.fixture.ts";
import { PriceBook } from "./price-book.ts";
import { callOf, TestVerifier } from "./verify.fixture.ts";
import { Verifier } from "./verify.ts";
import type { VerifyCall } from "./verify-call.ts";

interface Charged {
  readonly account: string;
  readonly meter: string;
  readonly price: PriceName | undefined;
  units: number;
  micros: number;
}

/** metering with wallets and quotas in the test's hands: it grants what is asked for while there is some. */
class Till implements LeaseSource {
  revision = 1;
  readonly money = new Map<string, NodeMoney>();
  /** Micros by wallet, units by limit. */
  readonly left = new Map<string, number>();
  readonly limits: Limit[] = [];
  prices: Price[] = [];
  asked = 0;
  isDown = false;
  /** Lends what is wanted beyond the need. */
  lendsAhead = false;
  #leases = 0;

  get position() {
    return { incarnation: "one", revision: this.revision };
  }

  wallet(accountId: string, micros: number, currency = "USD"): void {
    const id = `wal_${accountId}_${currency}`;
    const { wallets = [], usesParentBalance = false } = this.money.get(accountId) ?? {};
    this.money.set(accountId, { usesParentBalance, wallets: [...wallets, { id, currency }] });
    this.left.set(id, micros);
  }

  async acquire({ asks }: { readonly asks: readonly Ask[] }): Promise<AcquireReply> {
    if (this.isDown) throw new Error("metering is down");
    this.asked++;
    const leases: AcquireReply["leases"][number][] = [];
    const results = asks.map((ask): AskResult => {
      const wanted = new Map<string, number>();
      for (const { id, meter } of this.limits) {
        const units = ask.needs.find((need) => need.meter === meter)?.units;
        if (units !== undefined) wanted.set(id, units);
      }
      for (const { walletId, micros } of ask.walletNeeds) wanted.set(walletId, micros);
      for (const { limitId, units, held } of ask.wants) {
        if (units === 0) wanted.delete(limitId);
        else if (wanted.has(limitId) || this.lendsAhead) {
          const need = (wanted.get(limitId) ?? 0) - held;
          const ahead = this.lendsAhead ? Math.min(units, this.left.get(limitId)!) : 0;
          wanted.set(limitId, Math.max(need, ahead));
        }
      }
      for (const [limitId, units] of wanted) {
        const remaining = this.left.get(limitId)!;
        const rest = { remaining, leased: 0, retryAfterMs: undefined, windowEndMs: undefined };
        if (remaining < units) return { outcome: "EXHAUSTED", limitId, ...rest };
      }
      for (const [limitId, units] of wanted) {
        const remaining = this.left.get(limitId)! - units;
        this.left.set(limitId, remaining);
        const times = { ttlMs: 60_000, windowEndMs: undefined };
        leases.push({ id: `lease_${++this.#leases}`, limitId, units, remaining, ...times });
      }
      return { outcome: "GRANTED" };
    });
    const nodeIds = [...new Set(asks.flatMap((ask) => ask.nodeIds))];
    const limits = nodeIds.map((nodeId) => ({
      nodeId,
      limits: this.limits.filter((limit) => limit.nodeId === nodeId),
      money: this.money.get(nodeId),
    }));
    return { position: this.position, limits, results, leases };
  }
}

let world: TestVerifier;
let till: Till;
let replica: MeteringReplica;
let pool: LeasePool;
let verifier: Verifier;
let charges: Charged[];
let spent: Map<string, number>;
let reserved: ReservationRecord<object>[];
let isFull: boolean;
let presented: string;

beforeEach(() => {
  world = new TestVerifier();
  till = new Till();
  charges = [];
  spent = new Map();
  reserved = [];
  isFull = false;
  const book = new LimitBook(100);
  const prices = new PriceBook(async () => {
    if (till.isDown) throw new Error("metering is down");
    return { position: till.position, prices: till.prices };
  });
  replica = new MeteringReplica(book, prices);
  replica.restart(till.position);
  // What a turn says stands only once it is written.
  let turn: (() => void)[] = [];
  const journal: Journal = {
    ...world.options.journal,
    series: ({ accountId: account, meter, price }) => ({ account, meter, price, units: 0, micros: 0 }),
    lease: (id) => ({ id }),
    charge: (series, _minute, units, micros = 0) =>
      void turn.push(() => charges.push({ ...(series as Charged), units, micros })),
    spend: (lease, units) => void turn.push(() => spent.set((lease as { id: string }).id, units)),
    reserve: (record) => void turn.push(() => reserved.push(record)),
    whenWritten: (callback) => {
      const said = turn;
      turn = [];
      if (isFull) return setImmediate(() => callback(new Error("the disk is full")));
      for (const say of said) say();
      return callback();
    },
  };
  const clock = { now: () => ({ ...world.now }) };
  const options = { book, prices, journal, clock, source: till, identityFreshness: () => "", ship: () => {} };
  pool = new LeasePool(options);
  verifier = new Verifier({ ...world.options, pool, journal, clock });
  presented = world.key("acc_org").presented;
});

async function verify(call: Partial<VerifyCall> = {}) {
  return verifier.verify(callOf({ presented, ...call }), world.provider);
}

async function codes(count: number, call: Partial<VerifyCall> = {}): Promise<string[]> {
  const made: string[] = [];
  for (let i = 0; i < count; i++) made.push((await verify(call)).code);
  return made;
}

function setPrice(...prices: Partial<Price>[]): void {
  till.prices = prices.map(priceOf);
  replica.doubt(["@prices"]);
}

test("a wallet admits exactly what it pays for", async () => {
  setPrice({ micros: 7 });
  till.wallet("acc_org", 30);
  expect(await codes(6)).toEqual([...Array(4).fill("VALID"), "CREDIT_EXHAUSTED", "CREDIT_EXHAUSTED"]);
  expect(charges).toEqual(
    Array(4).fill({
      account: "acc_org",
      meter: "requests",
      price: expect.objectContaining({ id: "prc_1" }),
      units: 1,
      micros: 7,
    }),
  );
  expect([...spent.values()].reduce((sum, units) => sum + units)).toBe(28);
});

test("answers what the call costs, and names the wallet that refused", async () => {
  setPrice(
    { micros: 7 },
    { id: "prc_2", meter: "tokens", micros: 2 },
    { id: "prc_3", meter: "images", currency: "credits" },
  );
  till.wallet("acc_org", 100);
  till.wallet("acc_org", 5, "credits");
  const needs = ["requests", "tokens", "images"].map((meter, i) => ({ meter, units: i + 1 }));
  expect((await verify({ needs })).cost).toEqual([
    { currency: "USD", micros: 11 },
    { currency: "credits", micros: 3 },
  ]);
  const refused = await verify({ needs });
  expect(refused).toMatchObject({
    code: "CREDIT_EXHAUSTED",
    retryAfterMs: undefined,
    binding: { limit: { id: "wal_acc_org_credits", nodeId: "acc_org", currency: "credits" }, remaining: 2 },
  });
});

test("a refusal says what is left when it is answered, not when it was asked for", async () => {
  setPrice({ micros: 1 });
  till.wallet("acc_org", 10);
  till.lendsAhead = true;
  const spend = (units: number) => verify({ needs: [{ meter: "requests", units }] });
  expect((await spend(4)).code).toBe("VALID");
  // Six are in hand. While metering is asked for more, another call takes some.
  const [refused, other] = await Promise.all([spend(8), spend(5)]);
  expect([refused.code, other.code]).toEqual(["CREDIT_EXHAUSTED", "VALID"]);
  expect(refused.binding!.remaining).toBe(1);
  expect((await spend(1)).code).toBe("VALID");
  // By what is remembered.
  const { asked } = till;
  expect((await spend(8)).binding!.remaining).toBe(0);
  expect(till.asked).toBe(asked);
});

test("a refusal stands for what was asked for, and not for less: what a call costs hangs on those before it", async () => {
  setPrice({ micros: 1, perUnits: 2 });
  till.wallet("acc_org", 2);
  till.lendsAhead = true;
  const spend = (units: number) => verify({ needs: [{ meter: "requests", units }] });
  expect((await spend(3)).cost).toEqual([{ currency: "USD", micros: 1 }]);
  // One is in hand, one is left, and half a micro is owed: with that the first costs two, until the second has paid it.
  till.lendsAhead = false;
  till.left.set("wal_acc_org_USD", 1);
  const both = await Promise.all([spend(3), spend(1)]);
  expect(both.map(({ code, cost }) => [code, cost])).toEqual(
    Array(2).fill(["VALID", [{ currency: "USD", micros: 1 }]]),
  );
});

test("a payer without a wallet has no credits, and what is free needs none", async () => {
  setPrice({ meter: "tokens" });
  const tokens = { needs: [{ meter: "tokens", units: 1 }] };
  expect(await codes(2, tokens)).toEqual(["CREDIT_EXHAUSTED", "CREDIT_EXHAUSTED"]);
  const free = await verify();
  expect([free.code, free.cost]).toEqual(["VALID", undefined]);
  expect(await codes(1, { needs: [{ meter: "tokens", units: 0 }] })).toEqual(["VALID"]);
  // The wallet is made, and metering's log says so.
  till.wallet("acc_org", 1);
  replica.doubt(["acc_org"]);
  expect(await codes(2, tokens)).toEqual(["VALID", "CREDIT_EXHAUSTED"]);
});

test("a bell on a top-up ends the remembered refusal", async () => {
  setPrice({});
  till.wallet("acc_org", 0);
  expect(await codes(2)).toEqual(["CREDIT_EXHAUSTED", "CREDIT_EXHAUSTED"]);
  const { asked } = till;
  till.left.set("wal_acc_org_USD", 1);
  expect(await codes(1)).toEqual(["CREDIT_EXHAUSTED"]);
  expect(till.asked).toBe(asked);
  replica.doubt(["acc_org"]);
  expect(await codes(1)).toEqual(["VALID"]);
});

test("an exhausted quota is the answer before empty credits", async () => {
  setPrice({});
  const terms = { meter: "requests", pattern: "", enforcement: "ENFORCE" } as const;
  till.limits.push({ id: "lim_1", nodeId: "acc_org", kind: "quota", ...terms });
  till.left.set("lim_1", 0);
  expect(await codes(1)).toEqual(["QUOTA_EXCEEDED"]);
  till.wallet("acc_org", 0);
  replica.doubt(["acc_org"]);
  expect(await codes(1)).toEqual(["QUOTA_EXCEEDED"]);
});

test("a warm call asks metering nothing, and the remembered plan ends with its price", async () => {
  setPrice({ micros: 1 }, { id: "prc_2", micros: 100, effectiveAtMs: world.now.wallMs + 5000 });
  till.wallet("acc_org", 1000);
  const costs = async () => (await verify()).cost?.map(({ micros }) => micros);
  expect(await costs()).toEqual([1]);
  world.now.wallMs += 4999;
  expect(await costs()).toEqual([1]);
  world.now.wallMs += 1;
  expect(await costs()).toEqual([100]);
  setPrice({ id: "prc_3", micros: 5 });
  expect(await costs()).toEqual([5]);
  setPrice();
  expect(await costs()).toBeUndefined();
});

test("a price goes by the account's own type and its organization's plan, as they are now", async () => {
  setPrice({ micros: 5, plan: "pro" }, { id: "prc_2", micros: 3, accountType: "trader" });
  till.wallet("acc_org", 1000);
  const cost = async () => (await verify()).cost?.[0]?.micros;
  expect(await cost()).toBeUndefined();
  world.account("acc_org", { plan: "pro" });
  expect(await cost()).toBe(5);
  world.account("acc_org", { type: "trader" });
  expect(await cost()).toBe(3);
});

test("what the disk did not take costs nothing, and what it left of a micro goes back", async () => {
  setPrice({ micros: 1, perUnits: 2 });
  till.wallet("acc_org", 10);
  const carry = () => pool.bucket("wal_acc_org_USD")!.carryOf("prc_1").parts;
  expect((await verify()).cost).toEqual([{ currency: "USD", micros: 0 }]);
  expect(carry()).toBe(1);
  isFull = true;
  const lost = await verify();
  await new Promise((resolve) => lost.receipt!.whenSettled(resolve));
  isFull = false;
  expect(carry()).toBe(1);
  expect((await verify()).cost).toEqual([{ currency: "USD", micros: 1 }]);
  expect(charges.map(({ micros }) => micros)).toEqual([0, 1]);
});

test("a reservation holds what its estimate costs, and whose wallet it was taken of", async () => {
  setPrice({ meter: "tokens", micros: 3 });
  till.wallet("acc_org", 1000);
  await verify({ needs: [{ meter: "tokens", units: 100 }], reserveTtlMs: 60_000 });
  expect(reserved).toMatchObject([
    {
      costs: [{ meter: "tokens", price: { id: "prc_1", currency: "USD" }, micros: 300 }],
      draws: [{ units: 300 }],
    },
  ]);
});

test("without metering nothing is priced for the first time, and what was priced goes on", async () => {
  setPrice({});
  till.wallet("acc_org", 1000);
  till.isDown = true;
  expect(await codes(1)).toEqual(["INDETERMINATE"]);
  till.isDown = false;
  till.lendsAhead = true;
  world.now.monotonicMs += 1000;
  expect(await codes(1)).toEqual(["VALID"]);
  till.isDown = true;
  replica.doubt(["@prices"]);
  expect((await verify()).cost).toEqual([{ currency: "USD", micros: 1 }]);
});
