import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import {
  type AcquireResponseSchema,
  type ReadBucketsRequest,
  type ReadBucketsResponseSchema,
  type Ask as WireAsk,
  AskResult_Outcome as WireOutcome,
  type RateReport as WireReport,
  type AcquireRequest as WireRequest,
} from "@gatehouse/proto/metering";
import { invalid, type Violation } from "@gatehouse/service/failure";
import type { AcquireAnswer, AcquireRequest, Ask, NodeMoney, RateReport } from "../domain/lease.ts";
import type { MetBucket } from "../domain/read-limits.ts";
import { isStorable } from "../domain/storable.ts";
import type { AccountMoney } from "../domain/wallet-readings.ts";
import { bucketMessage, sharedLimitMessage } from "./limit-wire.ts";

/** Of one request; what one turn of a replica's event loop gathers stays below. */
const MAX_ASKS = 1000;
const MAX_NODES = 64;
const MAX_NEEDS = 64;
const MAX_WANTS = 4096;
const MAX_REPORTS = 10_000;
const MAX_SPENDS = 1000;
const MAX_UNITS = BigInt(Number.MAX_SAFE_INTEGER);
const MAX_NAME_LENGTH = 256;
const HOLDER = /^[A-Za-z0-9._-]{1,100}\/[0-9]{1,19}$/;

/** Throws Failure INVALID_ARGUMENT naming every bad field. */
export function acquireRequest(request: WireRequest): AcquireRequest {
  const check = new Checks();
  check.that(HOLDER.test(request.holder), "holder", "must be <producer>/<epoch>");
  check.count("asks", request.asks, MAX_ASKS);
  check.count("reports", request.reports, MAX_REPORTS);
  check.done();
  for (const [i, ask] of request.asks.entries()) checkAsk(check, `asks[${i}]`, ask);
  for (const [i, report] of request.reports.entries()) checkReport(check, `reports[${i}]`, report);
  check.units("number", request.number);
  check.done();
  return {
    holder: request.holder,
    number: request.number === 0n ? undefined : Number(request.number),
    asks: request.asks.map(askOf),
    reports: request.reports.map(reportOf),
  };
}

/** Throws Failure INVALID_ARGUMENT. */
export function checkHolder(holder: string): void {
  const check = new Checks();
  check.that(HOLDER.test(holder), "holder", "must be <producer>/<epoch>");
  check.done();
}

export function acquireResponse(answer: AcquireAnswer): MessageInitShape<typeof AcquireResponseSchema> {
  return {
    limits: [...answer.limits].map(([nodeId, limits]) => ({
      nodeId,
      limits: limits.map(sharedLimitMessage),
      ...moneyMessage(answer.money.get(nodeId)),
    })),
    freshness: answer.freshness,
    results: answer.results.map(
      ({ outcome, limitId = "", remaining = 0, leased = 0, retryAfterMs, windowEndMs = 0 }) => ({
        outcome: WireOutcome[outcome],
        limitId,
        remaining: BigInt(remaining),
        leased: BigInt(leased),
        ...(retryAfterMs !== undefined && { retryAfter: durationFromMs(Math.ceil(retryAfterMs)) }),
        windowEnd: BigInt(windowEndMs),
      }),
    ),
    leases: answer.leases.map(({ id, limitId, units, ttlMs, windowEndMs, remaining }) => ({
      id,
      limitId,
      units: BigInt(units),
      ttl: durationFromMs(ttlMs),
      windowEnd: BigInt(windowEndMs ?? 0),
      remaining: BigInt(remaining),
    })),
  };
}

/** Throws Failure INVALID_ARGUMENT naming every bad field. */
export function readBucketsRequest({
  nodeIds,
  resource,
  holder,
}: Pick<ReadBucketsRequest, "nodeIds" | "resource" | "holder">) {
  const check = new Checks();
  check.nodes("", nodeIds, resource);
  check.that(holder === "" || HOLDER.test(holder), "holder", "must be <producer>/<epoch>");
  check.done();
  return { nodeIds: [...new Set(nodeIds)], resource, holder };
}

export function readBucketsResponse(
  buckets: readonly MetBucket[],
  money: readonly AccountMoney[],
): MessageInitShape<typeof ReadBucketsResponseSchema> {
  return {
    buckets: buckets.map(bucketMessage),
    leasedToHolder: buckets.map(({ leasedToHolder }) => BigInt(leasedToHolder)),
    money: money.map(({ wallets, ...account }) => ({
      ...account,
      wallets: wallets.map(({ id, currency, ...amounts }) => ({
        id,
        currency,
        balance: BigInt(amounts.balance),
        creditLimit: BigInt(amounts.creditLimit),
        leased: BigInt(amounts.leased),
        leasedToHolder: BigInt(amounts.leasedToHolder),
      })),
    })),
  };
}

function moneyMessage(money: NodeMoney | undefined) {
  return money && { wallets: [...money.wallets], usesParentBalance: money.usesParentBalance };
}

function askOf({ nodeIds, resource, needs, wants, walletNeeds }: WireAsk): Ask {
  const units = new Map<string, number>();
  for (const need of needs) {
    units.set(
      need.meter,
      Math.min((units.get(need.meter) ?? 0) + Number(need.units), Number.MAX_SAFE_INTEGER),
    );
  }
  return {
    nodeIds: [...new Set(nodeIds)],
    resource,
    needs: units,
    walletNeeds: new Map(walletNeeds.map(({ walletId, micros }) => [walletId, Number(micros)])),
    wants: new Map(
      wants.map(({ limitId, units, held }) => [limitId, { units: Number(units), held: Number(held) }]),
    ),
  };
}

function reportOf({ leaseId, reported, spends, closed }: WireReport): RateReport {
  return {
    leaseId,
    reported: Number(reported),
    spends: spends.map(({ units, age }) => ({
      units: Number(units),
      ageMs: age === undefined ? 0 : durationMs(age),
    })),
    closed,
  };
}

function checkAsk(check: Checks, field: string, ask: WireAsk): void {
  const { nodeIds, resource, needs, wants, walletNeeds } = ask;
  check.nodes(`${field}.`, nodeIds, resource);
  check.count(`${field}.needs`, needs, MAX_NEEDS);
  for (const [i, { meter, units }] of needs.entries()) {
    check.name(`${field}.needs[${i}].meter`, meter);
    check.units(`${field}.needs[${i}].units`, units);
  }
  check.count(`${field}.wallet_needs`, walletNeeds, MAX_NEEDS);
  for (const [i, { walletId, micros }] of walletNeeds.entries()) {
    check.name(`${field}.wallet_needs[${i}].wallet_id`, walletId);
    check.units(`${field}.wallet_needs[${i}].micros`, micros);
  }
  check.that(
    new Set(walletNeeds.map(({ walletId }) => walletId)).size === walletNeeds.length,
    `${field}.wallet_needs`,
    "names a wallet twice",
  );
  check.count(`${field}.wants`, wants, MAX_WANTS);
  for (const [i, { limitId, units, held }] of wants.entries()) {
    check.name(`${field}.wants[${i}].limit_id`, limitId);
    check.units(`${field}.wants[${i}].units`, units);
    check.units(`${field}.wants[${i}].held`, held);
  }
}

function checkReport(check: Checks, field: string, { leaseId, reported, spends }: WireReport): void {
  check.name(`${field}.lease_id`, leaseId);
  check.units(`${field}.reported`, reported);
  check.count(`${field}.spends`, spends, MAX_SPENDS);
  for (const [i, { units }] of spends.entries()) check.units(`${field}.spends[${i}].units`, units);
}

class Checks {
  readonly #violations: Violation[] = [];

  that(holds: boolean, field: string, description: string): void {
    if (!holds) this.#violations.push({ field, description });
  }

  count(field: string, { length }: readonly unknown[], most: number): void {
    this.that(length <= most, field, `has more than ${most} items`);
  }

  /** The nodes that a call charges, and the resource that it is to. */
  nodes(at: string, nodeIds: readonly string[], resource: string): void {
    this.that(nodeIds.length > 0, `${at}node_ids`, "names the nodes that are charged");
    this.count(`${at}node_ids`, nodeIds, MAX_NODES);
    for (const [i, id] of nodeIds.entries()) this.name(`${at}node_ids[${i}]`, id);
    this.that(isStorable(resource, MAX_NAME_LENGTH), `${at}resource`, "is too long");
  }

  name(field: string, text: string): void {
    this.that(
      text !== "" && isStorable(text, MAX_NAME_LENGTH),
      field,
      `must be 1 to ${MAX_NAME_LENGTH} characters`,
    );
  }

  units(field: string, units: bigint): void {
    this.that(units >= 0n && units <= MAX_UNITS, field, `must be 0 to ${MAX_UNITS}`);
  }

  done(): void {
    if (this.#violations.length > 0) throw invalid(this.#violations);
  }
}
