/**
 * IngestBatch: rows of usage by minute and series a second, in sealed batches of several producers, beside the same rows
 * written by hand. In turns, on the same tables.
 */
import { hash } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { IngestService, UsageBatchSchema } from "@gatehouse/proto/metering";
import { grpcClient } from "@gatehouse/service";
import { serviceSecret } from "./deployment.ts";
import { median } from "./rounds.ts";
import { heading, table } from "./table.ts";
import { COST_HEAD, costCells, costOf, medianCost, type UsageCost } from "./usage-costs.ts";
import { makeUsageWorld, type UsageWorld } from "./usage-world.ts";
import { type Row, sizesOf, writeUsage } from "./usage-writes.ts";
import { timely } from "./warm-keys.ts";

const PRODUCERS = 4;
/** A second of a busy replica: that many keys called in it. */
const ROWS = 5000;
const SECONDS = 5;
const ROUNDS = 5;
const ACCOUNTS = 50;
const KEYS = 20_000;
/** Batches of a stretch, of which one is taken by chance each time. */
const BATCHES = 40;
/** Of usage that is there already: so many minutes of every key. */
const MINUTES = 60;

export interface IngestReport {
  readonly bench: "ingest";
  readonly settings: Record<string, string | number>;
  /** Rows when it was over. */
  readonly sizes: Readonly<Record<string, number>>;
  readonly ingested: UsageCost;
  readonly byHand: UsageCost;
  /** Of rows a second. */
  readonly ratio: number;
  readonly ratios: readonly number[];
}

export async function benchIngest(): Promise<IngestReport> {
  const world = await makeUsageWorld(ACCOUNTS, KEYS);
  try {
    const sql = await world.connect();
    await fill(world);
    const ingest = ingester(world);
    const byHand = await writer(world);
    const load = {
      ...{ metering: world.deployment.meteringProcess, sql },
      ...{ callers: PRODUCERS, seconds: SECONDS, rows: ROWS },
    };
    ingest.make();
    await costOf(load, ingest.send);
    const rounds: { ingested: UsageCost; byHand: UsageCost }[] = [];
    for (let i = 0; i < ROUNDS; i++) {
      ingest.make();
      rounds.push({ ingested: await costOf(load, ingest.send), byHand: await costOf(load, byHand) });
    }
    ingest.close();
    const ratios = rounds.map((round) => round.ingested.perSecond / round.byHand.perSecond);
    return {
      bench: "ingest",
      settings: {
        ...{ node: process.version, producers: PRODUCERS, rows: ROWS, keys: KEYS, accounts: ACCOUNTS },
        ...{ seconds: SECONDS, rounds: ROUNDS, fsync: "on" },
      },
      sizes: await sizesOf(sql, ["usage_minute", "usage_quarter", "usage_account"]),
      ingested: medianCost(rounds.map((round) => round.ingested)),
      byHand: medianCost(rounds.map((round) => round.byHand)),
      ratio: median(ratios),
      ratios,
    };
  } finally {
    await world.stop();
  }
}

export function ingestTable({ settings, sizes, ingested, byHand, ratio, ratios }: IngestReport): string {
  return [
    heading("Batches of usage", settings),
    table(
      ["rows", ...COST_HEAD],
      [
        ["ingested", ...costCells(ingested)],
        ["the same by hand", ...costCells(byHand)],
      ],
    ),
    `ratio ${ratio.toFixed(2)} (median of ${ratios.map((each) => each.toFixed(2)).join(" ")})`,
    `rows in the end: ${Object.entries(sizes)
      .map(([name, rows]) => `${name} ${rows}`)
      .join(", ")}`,
  ].join("\n");
}

async function fill({ connect, keys }: UsageWorld): Promise<void> {
  const sql = await connect();
  for (let i = 1; i <= MINUTES; i++) {
    const minute = Math.floor(Date.now() / 60_000) - i;
    const rows = keys.map(({ id, account }) => rowOf(minute, id, account));
    await writeUsage(sql, rows);
  }
  await sql.query("VACUUM ANALYZE usage_minute, usage_quarter, usage_account");
}

function rowOf(minute: number, keyId: string, accountId: string): Row {
  return { minute, accountId, keyId, meter: "requests", units: 3 };
}

/** As many keys in a row from a random one on: each once, as in a batch. */
function someRows({ keys }: UsageWorld): Row[] {
  const minute = Math.floor(Date.now() / 60_000);
  const first = Math.floor(Math.random() * keys.length);
  return Array.from({ length: ROWS }, (_, i) => keys[(first + i) % keys.length]!).map(({ id, account }) =>
    rowOf(minute, id, account),
  );
}

function ingester(world: UsageWorld) {
  const headers = { authorization: `Bearer ${serviceSecret}` };
  const client = grpcClient(IngestService, world.deployment.metering, { headers });
  const sequences = Array.from({ length: PRODUCERS }, () => 0n);
  let batches: ReturnType<typeof batchOf>[] = [];
  return {
    /** Of this minute, before a stretch: replicas of authz, which share no core with metering, make theirs. */
    make() {
      batches = Array.from({ length: BATCHES }, () => batchOf(someRows(world)));
    },
    async send(producer: number) {
      const batch = batches[Math.floor(Math.random() * BATCHES)]!;
      const of = { producer: `bench-${producer}`, epoch: 1n, sequence: ++sequences[producer]! };
      const { quarantined } = await client.ingestBatch({ ...of, ...batch }, timely);
      if (quarantined > 0) throw new Error("rows were put aside");
    },
    close: () => client.close(),
  };
}

function batchOf(rows: readonly Row[]) {
  const usage = rows.map(({ keyId, accountId, meter, minute, units }) => {
    return { keyId, accountId, meter, outcome: "VALID", minute: BigInt(minute), units: BigInt(units) };
  });
  const payload = toBinary(UsageBatchSchema, create(UsageBatchSchema, { usage }));
  return { payload, digest: hash("sha256", payload, "buffer") };
}

async function writer(world: UsageWorld) {
  const clients = await Promise.all(Array.from({ length: PRODUCERS }, () => world.connect()));
  return (producer: number) => writeUsage(clients[producer]!, someRows(world));
}
