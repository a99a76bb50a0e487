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
import { makeUsageWorld, perSecond, type UsageWorld } from "./usage-world.ts";
import { type Row, sizesOf, writeUsage } from "./usage-writes.ts";
import { timely } from "./warm-keys.ts";

const PRODUCERS = 4;
/** A second of a busy replica: that many keys called in it. */
const ROWS = 5000;
const SECONDS = 5;
const ROUNDS = 5;
const ACCOUNTS = 50;
const KEYS = 20_000;
/** Of usage that is there already: so many minutes of every key. */
const MINUTES = 60;

export interface IngestReport {
  readonly bench: "ingest";
  readonly settings: Record<string, string | number>;
  /** Rows when it was over. */
  readonly sizes: Readonly<Record<string, number>>;
  /** Rows a second. */
  readonly ingested: number;
  readonly byHand: number;
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
    await perSecond(PRODUCERS, SECONDS, ingest.send);
    const rounds: { ingested: number; byHand: number }[] = [];
    for (let i = 0; i < ROUNDS; i++) {
      rounds.push({
        ingested: (await perSecond(PRODUCERS, SECONDS, ingest.send)) * ROWS,
        byHand: (await perSecond(PRODUCERS, SECONDS, byHand)) * ROWS,
      });
    }
    ingest.close();
    const ratios = rounds.map((round) => round.ingested / round.byHand);
    return {
      bench: "ingest",
      settings: {
        ...{ node: process.version, producers: PRODUCERS, rows: ROWS, keys: KEYS, accounts: ACCOUNTS },
        ...{ seconds: SECONDS, rounds: ROUNDS, fsync: "on" },
      },
      sizes: await sizesOf(sql, ["usage_minute", "usage_quarter", "usage_account"]),
      ingested: median(rounds.map((round) => round.ingested)),
      byHand: median(rounds.map((round) => round.byHand)),
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
      ["", "rows/s"],
      [
        ["ingested", Math.round(ingested)],
        ["the same rows by hand", Math.round(byHand)],
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
  return {
    async send(producer: number) {
      const usage = someRows(world).map((row) => ({
        ...{ keyId: row.keyId, accountId: row.accountId, meter: row.meter, outcome: "VALID" },
        ...{ minute: BigInt(row.minute), units: BigInt(row.units) },
      }));
      const payload = toBinary(UsageBatchSchema, create(UsageBatchSchema, { usage }));
      const sequence = ++sequences[producer]!;
      const digest = hash("sha256", payload, "buffer");
      const batch = { producer: `bench-${producer}`, epoch: 1n, sequence, digest, payload };
      const { quarantined } = await client.ingestBatch(batch, timely);
      if (quarantined > 0) throw new Error("rows were put aside");
    },
    close: () => client.close(),
  };
}

async function writer(world: UsageWorld) {
  const clients = await Promise.all(Array.from({ length: PRODUCERS }, () => world.connect()));
  return (producer: number) => writeUsage(clients[producer]!, someRows(world));
}
