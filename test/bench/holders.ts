/**
 * Many holders of one organization's quota: every acquire locks the same row, and so does every batch that says what was
 * spent of it. By how many hold, asking one replica of metering, and two in turn.
 */
import { hash } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { newEncryptionKey } from "@gatehouse/keys";
import {
  AskResult_Outcome,
  IngestService,
  LeaseService,
  LimitService,
  UsageBatchSchema,
  Window,
} from "@gatehouse/proto/metering";
import { type GrpcClient, grpcClient } from "@gatehouse/service";
import { freePort } from "@gatehouse/stack";
import {
  type Deployment,
  end,
  fromRoot,
  MEASURED_CORE,
  serviceSecret,
  start,
  untilReady,
  YOUNG_FLAGS,
} from "./deployment.ts";
import { heading, table } from "./table.ts";
import { makeUsageWorld, perSecond, type UsageWorld } from "./usage-world.ts";
import { timely } from "./warm-keys.ts";

const HOLDERS = [1, 2, 5, 10, 20, 50];
const SECONDS = 4;
/** What a holder wants each time. */
const UNITS = 100n;
/** More than all of them spend. */
const QUOTA = 1_000_000_000_000n;

interface Point {
  readonly holders: number;
  /** Of all of them: units asked for, lent, spent and told of. */
  readonly turnsPerSecond: number;
  readonly acquireP50Ms: number;
  readonly acquireP99Ms: number;
  readonly batchP50Ms: number;
  readonly batchP99Ms: number;
}

export interface HoldersReport {
  readonly bench: "holders";
  readonly settings: Record<string, string | number>;
  readonly one: readonly Point[];
  readonly two: readonly Point[];
}

export async function benchHolders(): Promise<HoldersReport> {
  const most = Math.max(...HOLDERS);
  const world = await makeUsageWorld(most, 0);
  try {
    const limitId = await setQuota(world);
    const { metering } = world.deployment;
    const second = await startMetering(world.deployment);
    try {
      await measure([metering], "warm-up", most, world, limitId);
      return {
        bench: "holders",
        settings: { node: process.version, seconds: SECONDS, units: Number(UNITS), fsync: "on" },
        one: await curve([metering], "one", world, limitId),
        two: await curve([metering, second.address], "two", world, limitId),
      };
    } finally {
      await end(second.child);
    }
  } finally {
    await world.stop();
  }
}

export function holdersTable({ settings, one, two }: HoldersReport): string {
  const cells = (point: Point) => [
    ...[point.holders, Math.round(point.turnsPerSecond), point.acquireP50Ms, point.acquireP99Ms],
    ...[point.batchP50Ms, point.batchP99Ms],
  ];
  const head = ["holders", "turns/s", "acquire p50 ms", "p99 ms", "batch p50 ms", "p99 ms"];
  const section = (points: readonly Point[]) =>
    table(
      head,
      points.map((point) => cells(point).map(shown)),
    );
  return [
    heading("Holders of one organization's quota", settings),
    ...["one metering", section(one), "", "two meterings", section(two)],
  ].join("\n");
}

function shown(value: number): string {
  return value < 100 ? value.toFixed(1).replace(/\.0$/, "") : String(Math.round(value));
}

async function setQuota({ deployment, organization }: UsageWorld): Promise<string> {
  const headers = { "x-api-key": deployment.rootKey };
  const limits = grpcClient(LimitService, deployment.metering, { headers });
  const allowance = { case: "quota", value: { units: QUOTA, window: Window.NEVER } } as const;
  const node = { case: "account", value: organization } as const;
  const { limit } = await limits.setLimit({ node, allowance }, timely);
  limits.close();
  return limit!.id;
}

/** Another one over the same database, on the core of the first. */
async function startMetering({ databaseUrl, identity, pepper }: Deployment) {
  const [address, http] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  const child = start(MEASURED_CORE, [...YOUNG_FLAGS, fromRoot("services/metering/src/main.ts")], {
    GATEHOUSE_DATABASE_URL: databaseUrl,
    GATEHOUSE_SERVICE_SECRET: serviceSecret,
    GATEHOUSE_PEPPERS: pepper,
    GATEHOUSE_ENCRYPTION_KEYS: newEncryptionKey("1"),
    GATEHOUSE_IDENTITY_ADDRESS: identity,
    GATEHOUSE_METERING_GRPC: address,
    GATEHOUSE_METERING_HTTP: http,
    GATEHOUSE_LOG_LEVEL: "error",
  });
  await untilReady("metering", http);
  return { child, address };
}

async function curve(
  addresses: readonly string[],
  name: string,
  world: UsageWorld,
  limitId: string,
): Promise<Point[]> {
  const points: Point[] = [];
  for (const count of HOLDERS) {
    points.push(await measure(addresses, `${name}-${count}`, count, world, limitId));
  }
  return points;
}

async function measure(
  addresses: readonly string[],
  name: string,
  count: number,
  world: UsageWorld,
  limitId: string,
): Promise<Point> {
  const acquires: number[] = [];
  const batches: number[] = [];
  const holders = Array.from({ length: count }, (_, i) => {
    const nodeIds = [world.accounts[i]!, world.organization];
    return new BenchHolder(addresses.join(","), `${name}-${i}`, nodeIds, limitId);
  });
  const turn = async (i: number) => {
    const beganMs = performance.now();
    const lent = await holders[i]!.acquire();
    const lentMs = performance.now();
    await holders[i]!.spend(lent);
    acquires.push(lentMs - beganMs);
    batches.push(performance.now() - lentMs);
  };
  const turnsPerSecond = await perSecond(count, SECONDS, turn);
  for (const holder of holders) holder.close();
  return {
    holders: count,
    turnsPerSecond,
    acquireP50Ms: quantile(acquires, 0.5),
    acquireP99Ms: quantile(acquires, 0.99),
    batchP50Ms: quantile(batches, 0.5),
    batchP99Ms: quantile(batches, 0.99),
  };
}

function quantile(values: readonly number[], share: number): number {
  return [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) * share)]!;
}

interface Lent {
  readonly id: string;
  readonly units: bigint;
}

/** As a replica of authz does it, with connections of its own: takes units, and gives them back spent. */
class BenchHolder {
  readonly #leases: GrpcClient<typeof LeaseService>;
  readonly #ingest: GrpcClient<typeof IngestService>;
  readonly #producer: string;
  readonly #nodeIds: string[];
  readonly #limitId: string;
  #turns = 0n;

  constructor(address: string, producer: string, nodeIds: string[], limitId: string) {
    const headers = { authorization: `Bearer ${serviceSecret}` };
    this.#leases = grpcClient(LeaseService, address, { headers });
    this.#ingest = grpcClient(IngestService, address, { headers });
    this.#producer = producer;
    this.#nodeIds = nodeIds;
    this.#limitId = limitId;
  }

  async acquire(): Promise<readonly Lent[]> {
    const needs = [{ meter: "requests", units: 1n }];
    const wants = [{ limitId: this.#limitId, units: UNITS, held: 0n }];
    const request = {
      holder: `${this.#producer}/1`,
      number: ++this.#turns,
      asks: [{ nodeIds: this.#nodeIds, needs, wants }],
    };
    const { results, leases } = await this.#leases.acquire(request, timely);
    const { outcome } = results[0]!;
    if (outcome !== AskResult_Outcome.GRANTED) throw new Error(`answered ${AskResult_Outcome[outcome]}`);
    return leases;
  }

  async spend(lent: readonly Lent[]): Promise<void> {
    const leases = lent.map(({ id, units }) => ({ leaseId: id, spent: units, closed: true }));
    const payload = toBinary(UsageBatchSchema, create(UsageBatchSchema, { leases }));
    const digest = hash("sha256", payload, "buffer");
    const batch = { producer: this.#producer, epoch: 1n, sequence: this.#turns, digest, payload };
    await this.#ingest.ingestBatch(batch, timely);
  }

  close(): void {
    this.#leases.close();
    this.#ingest.close();
  }
}
