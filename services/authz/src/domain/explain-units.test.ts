import * as fc from "fast-check";
import { expect, it } from "vitest";
import { Explainer } from "./explain.ts";
import type { BucketReading } from "./explain-buckets.ts";
import type { Journal } from "./journal.ts";
import { LeasePool } from "./lease-pool.ts";
import type { AcquireReply, Ask, GrantedLease, LeaseSource, RateReport } from "./lease-source.ts";
import type { Limit } from "./limit.ts";
import { LimitBook } from "./limit-book.ts";
import { peekingVerifier } from "./peek.ts";
import { FREE } from "./price-book.fixture.ts";
import { callOf, TestVerifier } from "./verify.fixture.ts";
import { Verifier } from "./verify.ts";

/*
 * Explain counts units from what metering knows and what is in hand here; Verify spends what is in hand, and asks for
 * the rest. Over a metering of a few lines, in whatever order units are lent, spent, told of and given back, and
 * whoever else holds some, both come to the same.
 */

interface Held {
  readonly limitId: string;
  readonly holder: "here" | "elsewhere";
  /** Lent, and not known to be spent. */
  units: number;
}

/** Buckets that never refill, on the nodes of one key. */
class TinyMetering implements LeaseSource {
  readonly leases = new Map<string, Held>();
  readonly spent = new Map<string, number>();
  readonly #limits: readonly Limit[];
  readonly #capacity: (limitId: string) => number;
  #made = 0;

  constructor(limits: readonly Limit[], capacity: (limitId: string) => number) {
    this.#limits = limits;
    this.#capacity = capacity;
  }

  leased(limitId: string, holder?: Held["holder"]): number {
    const all = [...this.leases.values()].filter((lease) => lease.limitId === limitId);
    return all
      .filter((each) => holder === undefined || each.holder === holder)
      .reduce((sum, { units }) => sum + units, 0);
  }

  available(limitId: string): number {
    return this.#capacity(limitId) - (this.spent.get(limitId) ?? 0) - this.leased(limitId);
  }

  lend(limitId: string, holder: Held["holder"], units: number): string {
    const id = `lease_${++this.#made}`;
    this.leases.set(id, { limitId, holder, units });
    return id;
  }

  spend(leaseId: string, units: number): void {
    const lease = this.leases.get(leaseId)!;
    lease.units -= units;
    this.spent.set(lease.limitId, (this.spent.get(lease.limitId) ?? 0) + units);
  }

  async acquire({
    asks,
    reports,
  }: {
    asks: readonly Ask[];
    reports: readonly RateReport[];
  }): Promise<AcquireReply> {
    for (const { leaseId, spends, closed } of reports) {
      this.spend(
        leaseId,
        spends.reduce((sum, { units }) => sum + units, 0),
      );
      if (closed) this.leases.delete(leaseId);
    }
    const leases: GrantedLease[] = [];
    const results = asks.map((ask) => this.#answer(ask, leases));
    const limits = Map.groupBy(this.#limits, ({ nodeId }) => nodeId);
    const nodeIds = [...new Set(asks.flatMap((ask) => ask.nodeIds))];
    return {
      position: POSITION,
      limits: nodeIds.map((nodeId) => ({ nodeId, limits: limits.get(nodeId) ?? [] })),
      results,
      leases,
    };
  }

  read(): BucketReading[] {
    return this.#limits.map((limit) => ({
      limit,
      unitsPerMs: undefined,
      capacity: this.#capacity(limit.id),
      used: this.spent.get(limit.id) ?? 0,
      leased: this.leased(limit.id),
      leasedHere: this.leased(limit.id, "here"),
      remaining: this.available(limit.id),
      resetsAtMs: undefined,
    }));
  }

  #answer({ needs, wants }: Ask, leases: GrantedLease[]): AcquireReply["results"][number] {
    const wanted = this.#limits.flatMap((limit) => {
      const want = wants.find(({ limitId }) => limitId === limit.id);
      const units = needs.find(({ meter }) => meter === limit.meter)?.units ?? 0;
      if (want?.units === 0) return [];
      return [{ limit, need: Math.max(units - (want?.held ?? 0), 0) }];
    });
    const shortageOf = ({ id: limitId }: Limit) => {
      const leased = this.leased(limitId);
      return { limitId, remaining: 0, leased, windowEndMs: undefined, retryAfterMs: undefined };
    };
    for (const { limit, need } of wanted) {
      const elsewhere = this.leased(limit.id, "elsewhere");
      if (limit.enforcement === "ENFORCE" && need > this.available(limit.id) + elsewhere)
        return { outcome: "EXHAUSTED", ...shortageOf(limit) };
    }
    const lacking = wanted.find(
      ({ limit, need }) => limit.enforcement === "ENFORCE" && need > this.available(limit.id),
    );
    if (lacking !== undefined) return { outcome: "NOT_NOW", ...shortageOf(lacking.limit) };
    for (const { limit, need } of wanted) {
      // A little more than is needed, so that some is in hand.
      const units = Math.max(need, Math.min(need + 2, this.available(limit.id)));
      if (units === 0) continue;
      const id = this.lend(limit.id, "here", units);
      const remaining = this.available(limit.id);
      leases.push({ id, limitId: limit.id, units, ttlMs: 3_600_000, windowEndMs: undefined, remaining });
    }
    return { outcome: "GRANTED" };
  }
}

const POSITION = { incarnation: "one", revision: 1 };

type Reader = (metering: TinyMetering) => BucketReading[];

function setUp(kinds: readonly Limit["kind"][], capacities: readonly number[], read: Reader) {
  const test = new TestVerifier();
  const { id, presented } = test.key("acc_org");
  const nodes = [id, "acc_org", "acc_root"];
  const limits = kinds.map((kind, i): Limit => {
    const enforcement = i === 2 ? "WARN" : "ENFORCE";
    return { id: `lim_${i}`, nodeId: nodes[i]!, meter: "requests", pattern: "", kind, enforcement };
  });
  const metering = new TinyMetering(limits, (limitId) => capacities[Number(limitId.slice(4))]!);
  const book = new LimitBook(100);
  book.restart(POSITION);
  const told: (() => void)[] = [];
  const journal: Journal<object, { id: string }> = {
    ...(test.options.journal as Journal<object, { id: string }>),
    lease: (leaseId) => ({ id: leaseId }),
    spend: (lease, units) => void told.push(() => metering.spend(lease.id, units)),
    close: (lease) => void told.push(() => metering.leases.delete(lease.id)),
  };
  const ship = () => {
    for (const tell of told.splice(0)) tell();
  };
  const clock = { now: () => ({ ...test.now }) };
  const options = { journal: journal as Journal, clock, identityFreshness: () => "", prices: FREE };
  const pool = new LeasePool({ ...options, book, source: metering, ship });
  const deciding = { ...test.options, ...options, pool };
  const explainer = new Explainer({
    ...deciding,
    verifier: peekingVerifier(deciding),
    buckets: { readBuckets: async () => ({ buckets: read(metering), money: [] }) },
  });
  return { test, presented, metering, pool, ship, explainer, verifier: new Verifier(deciding) };
}

const limitAt = fc.nat({ max: 2 }).map((i) => `lim_${i}`);
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("call" as const), units: fc.nat({ max: 6 }) }) },
  fc.record({ kind: fc.constant("ship" as const) }),
  fc.record({ kind: fc.constant("give back" as const) }),
  fc.record({
    kind: fc.constant("lend elsewhere" as const),
    limitId: limitAt,
    units: fc.integer({ min: 1, max: 5 }),
  }),
  fc.record({ kind: fc.constant("spend elsewhere" as const) }),
);

/** That Explain, as it reads metering, says what Verify then does; `seen` counts what that was. */
function agreement(read: Reader, seen = new Map<string, number>()) {
  const scenario = fc.record({
    kinds: fc.tuple(...[0, 1, 2].map(() => fc.constantFrom<Limit["kind"]>("rate", "quota"))),
    capacities: fc.tuple(...[0, 1, 2].map(() => fc.integer({ min: 1, max: 25 }))),
    steps: fc.array(step, { minLength: 4, maxLength: 25 }),
  });
  return fc.asyncProperty(scenario, async ({ kinds, capacities, steps }) => {
    const { test, presented, metering, pool, ship, explainer, verifier } = setUp(kinds, capacities, read);
    for (const each of steps) {
      // Longer than a refusal is remembered.
      test.now.monotonicMs += 3000;
      test.now.wallMs += 3000;
      switch (each.kind) {
        case "ship":
          ship();
          break;
        case "give back":
          pool.sweep(0);
          await new Promise((resolve) => setImmediate(resolve));
          ship();
          break;
        case "lend elsewhere":
          if (metering.available(each.limitId) >= each.units)
            metering.lend(each.limitId, "elsewhere", each.units);
          break;
        case "spend elsewhere":
          for (const [id, { holder, units }] of metering.leases)
            if (holder === "elsewhere") metering.spend(id, units);
          break;
        case "call": {
          const call = callOf({ presented, needs: [{ meter: "requests", units: each.units }] });
          const explained = await explainer.explain(call, test.provider);
          const decided = await verifier.verify(call, test.provider);
          const [said, found] = [explained.decision.code, decided.code];
          seen.set(found, (seen.get(found) ?? 0) + 1);
          // What others hold is there to be had; whether it is to be had at once nobody knows.
          if (found === "INDETERMINATE") expect(said).toBe("VALID");
          else expect(said).toBe(found);
          if (found !== "VALID" && found !== "INDETERMINATE") {
            expect(explained.decidedBy).toBe(decided.binding!.limit.id);
          }
        }
      }
    }
  });
}

it("counts the units that Verify finds", async () => {
  const seen = new Map<string, number>();
  await fc.assert(
    agreement((metering) => metering.read(), seen),
    // The rarest answer comes once in ten runs or so.
    { numRuns: 1500 },
  );
  for (const code of ["VALID", "RATE_LIMITED", "QUOTA_EXCEEDED", "INDETERMINATE"]) {
    expect(seen.get(code) ?? 0, code).toBeGreaterThan(20);
  }
}, 60_000);

it("would not, if it took for there what this replica has spent and not told", async () => {
  const naive: Reader = (metering) => metering.read().map((each) => ({ ...each, leasedHere: 0 }));
  expect((await fc.check(agreement(naive), { numRuns: 400 })).failed).toBe(true);
}, 60_000);
