import { ReservedDecisionIds } from "@gatehouse/keys";
import { AskResult_Outcome } from "@gatehouse/proto/metering";
import { SERVICE_SECRET, type TestMetering } from "./fixture.ts";
import { Holder } from "./holder.ts";

const ids = new ReservedDecisionIds(SERVICE_SECRET);
const timely = { timeoutMs: 5000 };

/** What a replica of authz was asked to reserve. */
export interface Wish {
  /** The key that asks. */
  readonly verifier: string;
  readonly key: string;
  readonly parentKey?: string;
  /** The account acted on, then its ancestors. */
  readonly accounts: readonly string[];
  readonly resource?: string;
  readonly estimate: Readonly<Record<string, number>>;
  readonly ttlMs?: number;
  /** What of the estimate has a price, by meter, and the wallet that pays. */
  readonly costs?: Readonly<Record<string, { priceId: string; currency: string; micros: number }>>;
  readonly walletId?: string;
  /** When it was asked; default now. */
  readonly atMs?: number;
}

export interface MadeReservation {
  readonly decisionId: string;
  /** Sends the batch that tells of it. */
  ship(): Promise<unknown>;
}

/** A replica of authz that reserves: takes an estimate of leases, and tells of it when it is told to. */
export class Reserver extends Holder {
  readonly #metering: TestMetering;

  constructor(metering: TestMetering, producer: string) {
    super(metering, producer);
    this.#metering = metering;
  }

  async reserve(wish: Wish): Promise<MadeReservation> {
    const { verifier, key, parentKey = "", accounts, resource = "", estimate, ttlMs = 60_000 } = wish;
    const atMs = wish.atMs ?? Date.now() + this.#metering.time.offsetMs;
    const nodeIds = [key, ...(parentKey === "" ? [] : [parentKey]), ...accounts];
    const { costs = {}, walletId } = wish;
    const micros = Object.values(costs).reduce((sum, cost) => sum + cost.micros, 0);
    const answer = await this.acquire(nodeIds, estimate, {
      resource,
      ...(walletId !== undefined && { costs: { [walletId]: micros } }),
    });
    const [result] = answer.results;
    if (result?.outcome !== AskResult_Outcome.GRANTED) throw new Error("there were no units to reserve");
    const limits = new Map(answer.limits.flatMap((node) => node.limits).map((limit) => [limit.id, limit]));
    const draws = answer.leases.flatMap(({ id, limitId }) => {
      if (limitId === walletId) return [{ leaseId: id, units: BigInt(micros) }];
      const { meter, allowance } = limits.get(limitId.split("@")[0]!)!;
      return allowance.case === "quota" ? [{ leaseId: id, units: BigInt(estimate[meter] ?? 0) }] : [];
    });
    const minute = BigInt(Math.floor(atMs / 60_000));
    const decisionId = ids.mint(verifier, atMs + ttlMs);
    const units = Object.entries(estimate).map(([meter, units]) => ({ meter, units: BigInt(units) }));
    const series = { minute, keyId: key, accountId: accounts[0]!, resource, outcome: "VALID" };
    const batch = this.batch({
      usage: units.map((charge) => ({ ...series, ...charge, ...costOf(costs[charge.meter]) })),
      leases: draws.map(({ leaseId, units }) => ({ leaseId, spent: units, closed: true })),
      reservations: [
        {
          decisionId,
          keyId: key,
          parentKeyId: parentKey,
          accountId: accounts[0]!,
          resource,
          minute,
          expiresAtMs: BigInt(atMs + ttlMs),
          charges: units,
          draws,
          costs: Object.entries(costs).map(([meter, cost]) => ({
            meter,
            ...cost,
            micros: BigInt(cost.micros),
          })),
        },
      ],
    });
    return { decisionId, ship: () => this.#metering.ingest.ingestBatch(batch, timely) };
  }
}

function costOf(cost: { priceId: string; currency: string; micros: number } | undefined) {
  return cost && { priceId: cost.priceId, currency: cost.currency, cost: BigInt(cost.micros) };
}
