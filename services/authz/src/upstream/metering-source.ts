import { durationFromMs, durationMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Price } from "@gatehouse/buckets";
import { decodeFreshness, type FeedSource, type Position, positionOf } from "@gatehouse/changefeed";
import {
  type AcquireResponse,
  type Allowance,
  AskResult_Outcome,
  type BookedPrice,
  Enforcement,
  FeedService,
  IngestService,
  LeaseService,
  type Limit as LimitMessage,
  type NodeLimits,
  type NodeMoney as NodeMoneyMessage,
  type RateReport as RateReportMessage,
  Window,
} from "@gatehouse/proto/metering";
import { type GrpcClient, grpcClient, type Span, unavailable, withDeadline } from "@gatehouse/service";
import type { BucketReading, BucketSource } from "../domain/explain-buckets.ts";
import type { MoneyReading } from "../domain/explain-wallets.ts";
import type {
  AcquireReply,
  AcquireRequest,
  Ask,
  AskResult,
  LeaseSource,
  RateReport,
} from "../domain/lease-source.ts";
import type { Limit } from "../domain/limit.ts";
import type { LimitChange, NodeMoney } from "../domain/limit-book.ts";
import type { PriceList } from "../domain/price-book.ts";
import type { ShipperOptions } from "../spool/index.ts";

const TIMEOUT_MS = 1000;
/** Who waits for units is not made to wait longer; what is lent by then is still there to be spent. */
const LATE_MS = 5000;
/** A batch is one transaction over up to 4 MiB of rows. */
const INGEST_TIMEOUT_MS = 10_000;

/** metering, over gRPC: leases, recalls, the feed of limits, and where sealed batches go. */
export class GrpcMeteringSource implements LeaseSource, BucketSource, FeedSource<LimitChange> {
  readonly #leases: GrpcClient<typeof LeaseService>;
  readonly #feed: GrpcClient<typeof FeedService>;
  readonly #ingest: GrpcClient<typeof IngestService>;
  readonly #holder: string;

  /** `holder` is `<producer>/<epoch>`. */
  constructor(address: string, serviceSecret: string, holder: string) {
    const options = { headers: { authorization: `Bearer ${serviceSecret}` } };
    this.#leases = grpcClient(LeaseService, address, options);
    this.#feed = grpcClient(FeedService, address, options);
    this.#ingest = grpcClient(IngestService, address, options);
    this.#holder = holder;
  }

  async head(): Promise<Position> {
    return positionOf((await this.#feed.getHead({}, { timeoutMs: TIMEOUT_MS })).head);
  }

  async changes(after: Position): Promise<readonly LimitChange[]> {
    const request = { after: { incarnation: after.incarnation, revision: BigInt(after.revision) } };
    const { changes } = await this.#feed.listChanges(request, { timeoutMs: TIMEOUT_MS });
    return changes.map(({ revision, nodeId }) => ({ revision: Number(revision), nodeId }));
  }

  async prices(): Promise<PriceList> {
    const { prices, head } = await this.#feed.readPriceBook({}, { timeoutMs: TIMEOUT_MS });
    return { position: positionOf(head), prices: prices.map(priceOf) };
  }

  async acquire(
    request: AcquireRequest,
    trace?: Span,
    onLate?: (reply: AcquireReply) => void,
    onLost?: () => void,
  ): Promise<AcquireReply> {
    const answer = this.#leases.acquire(
      {
        holder: this.#holder,
        number: BigInt(request.number),
        identityFreshness: request.identityFreshness,
        asks: request.asks.map(askMessage),
        reports: request.reports.map(reportMessage),
      },
      { timeoutMs: LATE_MS, trace },
    );
    const reply = answer.then(replyOf);
    try {
      return await withDeadline(reply, TIMEOUT_MS, () => unavailable("metering did not answer in time"));
    } catch (error) {
      // Metering may have lent before it, or the connection, failed.
      reply.then(onLate, onLost).catch(() => {});
      throw error;
    }
  }

  async readBuckets({
    nodeIds,
    ...asked
  }: Parameters<BucketSource["readBuckets"]>[0]): ReturnType<BucketSource["readBuckets"]> {
    const answer = await this.#leases.readBuckets(
      { ...asked, nodeIds: [...nodeIds], holder: this.#holder },
      { timeoutMs: TIMEOUT_MS },
    );
    const buckets = answer.buckets.map((bucket, i) => readingOf(bucket, answer.leasedToHolder[i]!));
    return { buckets, money: answer.money.map(moneyReadingOf) };
  }

  /** Yields the limits whose leases metering wants back; ends with the connection. */
  async *recalls(signal: AbortSignal): AsyncIterable<readonly string[]> {
    for await (const { limitIds } of this.#leases.watchRecalls({ holder: this.#holder }, { signal }))
      yield limitIds;
  }

  readonly register: ShipperOptions["register"] = async ({ producer, epoch }, signal) => {
    const request = { producer, epoch: BigInt(epoch) };
    const answer = await this.#ingest.registerProducer(request, { timeoutMs: TIMEOUT_MS, signal });
    return { expectedSequence: Number(answer.expectedSequence) };
  };

  readonly ingest: ShipperOptions["send"] = async (
    { producer, epoch, sequence, digest, payload },
    signal,
  ) => {
    const request = { producer, epoch: BigInt(epoch), sequence: BigInt(sequence), digest, payload };
    const answer = await this.#ingest.ingestBatch(request, { timeoutMs: INGEST_TIMEOUT_MS, signal });
    return { expectedSequence: Number(answer.expectedSequence) };
  };

  close(): void {
    for (const client of [this.#leases, this.#feed, this.#ingest]) client.close();
  }
}

function priceOf({ $typeName, $unknown, micros, perUnits, effectiveAtMs, ...terms }: BookedPrice): Price {
  return {
    ...terms,
    micros: Number(micros),
    perUnits: Number(perUnits),
    effectiveAtMs: Number(effectiveAtMs),
  };
}

function askMessage({ nodeIds, resource, needs, wants, walletNeeds }: Ask) {
  return {
    nodeIds: [...nodeIds],
    resource,
    needs: needs.map(({ meter, units }) => ({ meter, units: BigInt(units) })),
    wants: wants.map(({ limitId, units, held }) => ({ limitId, units: BigInt(units), held: BigInt(held) })),
    walletNeeds: walletNeeds.map(({ walletId, micros }) => ({ walletId, micros: BigInt(micros) })),
  };
}

// Whole messages: `create` would copy each once more, and of these there are thousands a second.
function reportMessage({ leaseId, reported, spends, closed }: RateReport): RateReportMessage {
  return {
    $typeName: "gatehouse.metering.v1.RateReport",
    leaseId,
    reported: BigInt(reported),
    spends: spends.map(({ units, ageMs }) => ({
      $typeName: "gatehouse.metering.v1.RateSpend",
      units: BigInt(units),
      age: durationFromMs(Math.ceil(ageMs)),
    })),
    closed,
  };
}

function replyOf({ limits, freshness, results, leases }: AcquireResponse): AcquireReply {
  const position = decodeFreshness(freshness);
  if (position === undefined) throw new Error("metering answered without its position");
  return {
    position,
    limits: limits.map((node) => ({
      nodeId: node.nodeId,
      limits: node.limits.map(limitOf),
      money: moneyOf(node),
    })),
    results: results.map(resultOf),
    leases: leases.map((lease) => ({
      id: lease.id,
      limitId: lease.limitId,
      units: Number(lease.units),
      ttlMs: lease.ttl === undefined ? 0 : durationMs(lease.ttl),
      windowEndMs: lease.windowEnd === 0n ? undefined : Number(lease.windowEnd),
      remaining: Number(lease.remaining),
    })),
  };
}

function moneyOf({ wallets, usesParentBalance }: NodeLimits): NodeMoney | undefined {
  if (wallets.length === 0 && !usesParentBalance) return undefined;
  return { usesParentBalance, wallets: wallets.map(({ id, currency }) => ({ id, currency })) };
}

function limitOf(limit: LimitMessage): Limit {
  return {
    id: limit.id,
    nodeId: limit.nodeId,
    meter: limit.meter,
    pattern: limit.resource,
    kind: limit.allowance.case === "rate" ? "rate" : "quota",
    enforcement: limit.enforcement === Enforcement.WARN ? "WARN" : "ENFORCE",
    ...(limit.reservedFor.length > 0 && { reservedFor: limit.reservedFor }),
    ...paceOf(limit),
  };
}

const WINDOW_MS: Readonly<Partial<Record<Window, number>>> = {
  [Window.MINUTE]: 60_000,
  [Window.HOUR]: 3_600_000,
  [Window.DAY]: 86_400_000,
  [Window.WEEK]: 604_800_000,
};

function paceOf({ allowance }: LimitMessage): Pick<Limit, "units" | "windowMs"> {
  switch (allowance.case) {
    case "rate":
      return {
        units: Number(allowance.value.units),
        windowMs: allowance.value.interval && durationMs(allowance.value.interval),
      };
    case "quota":
      return { units: Number(allowance.value.units), windowMs: WINDOW_MS[allowance.value.window] };
    default:
      return {};
  }
}

function readingOf(
  { limit, used, leased, remaining, resetsAt }: Allowance,
  leasedHere: bigint,
): BucketReading {
  const { allowance } = limit!;
  const isRate = allowance.case === "rate";
  return {
    limit: { ...limitOf(limit!), id: limit!.id.split("@", 1)[0]! },
    part: limit!.id,
    unitsPerMs: isRate ? Number(allowance.value.units) / durationMs(allowance.value.interval!) : undefined,
    capacity: Number(isRate ? allowance.value.burst : (allowance.value?.units ?? 0n)),
    used: Number(used),
    leased: Number(leased),
    leasedHere: Number(leasedHere),
    remaining: Number(remaining),
    resetsAtMs: resetsAt && timestampMs(resetsAt),
  };
}

function moneyReadingOf({ accountId, usesParentBalance, wallets }: NodeMoneyMessage): MoneyReading {
  return {
    accountId,
    usesParentBalance,
    wallets: wallets.map(({ id, currency, ...amounts }) => ({
      id,
      currency,
      balance: Number(amounts.balance),
      creditLimit: Number(amounts.creditLimit),
      leased: Number(amounts.leased),
      leasedHere: Number(amounts.leasedToHolder),
    })),
  };
}

function resultOf(result: AcquireResponse["results"][number]): AskResult {
  const { limitId } = result;
  const refusal = {
    limitId,
    windowEndMs: result.windowEnd === 0n ? undefined : Number(result.windowEnd),
    remaining: Number(result.remaining),
    leased: Number(result.leased),
    retryAfterMs: result.retryAfter && durationMs(result.retryAfter),
  };
  switch (result.outcome) {
    case AskResult_Outcome.GRANTED:
      return { outcome: "GRANTED" };
    case AskResult_Outcome.EXHAUSTED:
      return { outcome: "EXHAUSTED", ...refusal };
    case AskResult_Outcome.NOT_NOW:
      return { outcome: "NOT_NOW", ...refusal };
    default:
      return { outcome: "UNKNOWN_NODE" };
  }
}
