import { type RateState, rate } from "@gatehouse/buckets";
import fc from "fast-check";
import { expect, test } from "vitest";
import { bookSettlements, type SettledReservation } from "./book-settlements.ts";
import { isRate, type Limit } from "./limit.ts";
import { FakePricing } from "./pricing.fixture.ts";
import type { QuotaDraw, Settlement } from "./reservation.ts";
import type { ReservationTx } from "./reservation-store.ts";

const METERS = ["requests", "tokens"] as const;

/** A quota of a meter on a node. */
function quota(id: string, meter: string, nodeId: string): Limit {
  const allowance = {
    kind: "QUOTA",
    units: 1000,
    window: "NEVER",
    timeZone: "UTC",
    anchorMs: undefined,
  } as const;
  const times = { createdAtMs: 0, updatedAtMs: 0 };
  return {
    id,
    node: { kind: "ACCOUNT", id: nodeId },
    source: "OWN",
    meter,
    resource: "",
    allowance,
    enforcement: "ENFORCE",
    ...times,
  };
}

/** Buckets, usage and what was marked, in memory. */
class Books implements ReservationTx {
  readonly pricing = new FakePricing();
  readonly rates = new Map<string, RateState>();
  readonly spent = new Map<string, number>();
  readonly used = new Map<string, bigint>();
  readonly booked: string[] = [];
  readonly #limits: readonly Limit[];

  constructor(limits: readonly Limit[]) {
    this.#limits = limits;
  }

  async paths(ids: readonly string[]) {
    return new Map(ids.filter((id) => id !== "acc_unknown").map((id) => [id, [id, "acc_root"]]));
  }
  async limits(nodeIds: readonly string[], limitIds: readonly string[]) {
    return this.#limits.filter(({ id, node }) => nodeIds.includes(node.id) || limitIds.includes(id));
  }
  async quotasAt(limitIds: readonly string[]) {
    return new Map(limitIds.map((id) => [id, `${id}/now`]));
  }
  async draw(units: ReadonlyMap<string, number>) {
    for (const [id, change] of units) this.spent.set(id, (this.spent.get(id) ?? 0) + change);
    return [];
  }
  async bookUsage(usage: Parameters<ReservationTx["bookUsage"]>[0]) {
    for (const { meter, units } of usage) this.used.set(meter, (this.used.get(meter) ?? 0n) + units);
  }
  async markBooked(charged: ReadonlyMap<string, unknown>) {
    this.booked.push(...charged.keys());
  }
  async lockRates(limitIds: readonly string[]) {
    const limits = this.#limits.filter(isRate).filter(({ id }) => limitIds.includes(id));
    return limits.map((limit) => ({ limit, state: this.rates.get(limit.id)! }));
  }
  async writeRates(states: ReadonlyMap<string, RateState>) {
    for (const [id, state] of states) this.rates.set(id, state);
  }
  async notify() {}
  lock(): never {
    throw new Error("not asked");
  }
  lockDue(): never {
    throw new Error("not asked");
  }
  async putSettlement() {}
}

const units = fc.integer({ min: 0, max: 100 });
/** Of each meter: what was taken of one window's bucket and of the next one's. */
const taken = fc.tuple(units, units);
const reservations = fc.array(
  fc.record({
    taken: fc.record({ requests: taken, tokens: taken }),
    cost: fc.option(fc.dictionary(fc.constantFrom(...METERS), fc.integer({ min: 0, max: 300 }))),
  }),
  { maxLength: 6 },
);

test("usage and every level's buckets move by what calls cost besides their estimates, and none gives what it did not take", async () => {
  await fc.assert(
    fc.asyncProperty(reservations, async (reservations) => {
      const nodes = ["acc_team", "acc_root"];
      const limits = nodes.flatMap((node) => METERS.map((meter) => quota(`${node}/${meter}`, meter, node)));
      const books = new Books(limits);
      const drawn = new Map<string, number>();
      const settled = reservations.map(({ taken, cost }, i): SettledReservation => {
        const draws: QuotaDraw[] = limits.flatMap(({ id, meter }) =>
          taken[meter as "tokens"].flatMap((units, window) => {
            const bucketId = `${id}/${window === 0 ? "before" : "now"}`;
            drawn.set(bucketId, (drawn.get(bucketId) ?? 0) + units);
            return units === 0 ? [] : [{ bucketId, limitId: id, units }];
          }),
        );
        const estimate = new Map(METERS.map((meter) => [meter, taken[meter][0] + taken[meter][1]]));
        const settlement: Settlement =
          cost === null
            ? { kind: "RELEASED" }
            : { kind: "COMMITTED", cost: new Map(Object.entries(cost)), mayExceed: true };
        const series = { keyId: "key_1", parentKeyId: "", accountId: "acc_team", resource: "", minute: 7 };
        const held = { ...series, estimate, draws, costs: [], walletIds: [] };
        return { decisionId: `dec_${i}`, expiresAtMs: 0, isBooked: false, held, settlement };
      });
      const answered = await bookSettlements(books, settled, 0);
      expect([...answered.keys()]).toEqual(settled.map(({ decisionId }) => decisionId));
      expect(books.booked).toEqual([...answered.keys()]);
      for (const meter of METERS) {
        const change = reservations.reduce((sum, { taken, cost }) => {
          const estimate = taken[meter][0] + taken[meter][1];
          return sum + (cost === null ? 0 : (cost[meter] ?? estimate)) - estimate;
        }, 0);
        expect(Number(books.used.get(meter) ?? 0n)).toBe(change);
        for (const node of nodes) {
          const windows = ["before", "now"].map((window) => `${node}/${meter}/${window}`);
          const moved = windows.map((id) => books.spent.get(id) ?? 0);
          expect(moved[0]! + moved[1]!).toBe(change);
          for (const [i, id] of windows.entries()) {
            expect((drawn.get(id) ?? 0) + moved[i]!).toBeGreaterThanOrEqual(0);
          }
        }
      }
    }),
  );
});

test("a reservation of an account that is not known yet is left for later", async () => {
  const books = new Books([]);
  const held = {
    ...{ keyId: "key_1", parentKeyId: "", accountId: "acc_unknown", resource: "", minute: 7 },
    estimate: new Map([["tokens", 5]]),
    draws: [],
    costs: [],
    walletIds: [],
  };
  const one = {
    decisionId: "dec_1",
    expiresAtMs: 0,
    isBooked: false,
    held,
    settlement: { kind: "RELEASED" },
  } as const;
  expect(await bookSettlements(books, [one], 0)).toEqual(new Map());
  expect([books.booked, books.used.size]).toEqual([[], 0]);
});

test("more units than can be counted leave a rate as low as can be, and hold up nothing", async () => {
  const allowance = { kind: "RATE", units: 10, intervalMs: 1000, burst: 10 } as const;
  const limit: Limit = { ...quota("lim_rate", "tokens", "acc_team"), allowance };
  const books = new Books([limit]);
  books.rates.set(limit.id, rate.open(allowance, 0));
  const most = 2 ** 48;
  const settled = Array.from({ length: 100 }, (_, i): SettledReservation => {
    const series = { keyId: "key_1", parentKeyId: "", accountId: "acc_team", resource: "", minute: 7 };
    const held = { ...series, estimate: new Map([["tokens", 1]]), draws: [], costs: [], walletIds: [] };
    const settlement = { kind: "COMMITTED", cost: new Map([["tokens", most]]), mayExceed: true } as const;
    return { decisionId: `dec_${i}`, expiresAtMs: 0, isBooked: false, held, settlement };
  });
  for (let round = 0; round < 3; round++) {
    expect((await bookSettlements(books, settled, 0)).size).toBe(settled.length);
  }
  expect(books.rates.get(limit.id)!.available).toBe(Number.MIN_SAFE_INTEGER);
});
