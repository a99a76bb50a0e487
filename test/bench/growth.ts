/**
 * What metering's work costs while its database has a thousand to a million keys: lending to a key that was not seen
 * before, booking a batch, and reading usage, allowances and balances. Beside the first two the same writes by hand.
 */
import { loadavg } from "node:os";
import type pg from "pg";
import { cpuSeconds } from "./deployment.ts";
import { BATCH_ROWS, GrowingWork, type Operation } from "./growing-work.ts";
import { GrowingWorld } from "./growing-world.ts";
import { postgresSeconds } from "./postgres-time.ts";
import { median } from "./rounds.ts";
import { heading, table } from "./table.ts";
import { sizesOf } from "./usage-writes.ts";

const SIZES = [1000, 10_000, 100_000, 1_000_000];
const ROUNDS = 4;
/** Rounds before them; at first enough for metering's code to be as fast as it gets. */
const [FIRST_WARM_UP, WARM_UP] = [4, 1];
const TABLES = ["key", "node_limit", "quota_bucket", "usage_minute", "usage_quarter", "usage_account"];

export interface GrowthReport {
  readonly bench: "growth";
  readonly settings: Record<string, string | number>;
  readonly points: readonly Point[];
  /** With the most keys to with the fewest, by operation. */
  readonly ratios: Readonly<Record<string, { readonly p50: number; readonly processor: number }>>;
}

interface Point {
  readonly keys: number;
  /** What it took to add them. */
  readonly fillSeconds: number;
  readonly sizes: Readonly<Record<string, number>>;
  readonly costs: Readonly<Record<string, Cost>>;
}

/** Of one call, in milliseconds. */
interface Cost {
  readonly p50: number;
  readonly p99: number;
  /** Processor time. */
  readonly metering: number;
  readonly postgres: number;
}

export async function benchGrowth({ mostKeys = SIZES.at(-1)! } = {}): Promise<GrowthReport> {
  const load = loadavg()[0]!.toFixed(1);
  const growing = await GrowingWorld.make();
  try {
    const sql = await growing.world.connect();
    const work = new GrowingWork(growing, await growing.world.connect());
    const points: Point[] = [];
    for (const keys of SIZES.filter((size) => size <= mostKeys)) {
      const before = growing.keys;
      const beganMs = performance.now();
      await growing.growTo(keys);
      const fillSeconds = (performance.now() - beganMs) / 1000;
      const sizes = await sizesOf(sql, TABLES);
      const warmUp = before === 0 ? FIRST_WARM_UP : WARM_UP;
      const operations = work.overKeysAfter(before, warmUp + ROUNDS);
      await measure(growing, operations, sql, warmUp);
      const costs = await measure(growing, operations, sql, ROUNDS);
      await work.giveBack();
      points.push({ keys, fillSeconds, sizes, costs });
    }
    work.close();
    const [fewest, most] = [points[0]!.costs, points.at(-1)!.costs];
    const ratios = Object.entries(most).map(([name, cost]) => {
      const first = fewest[name]!;
      return [name, { p50: cost.p50 / first.p50, processor: processor(cost) / processor(first) }] as const;
    });
    const accounts = growing.world.accounts.length;
    return {
      bench: "growth",
      settings: { node: process.version, accounts, rounds: ROUNDS, rows: BATCH_ROWS, fsync: "on", load },
      points,
      ratios: Object.fromEntries(ratios),
    };
  } finally {
    await growing.stop();
  }
}

export function growthTable({ settings, points, ratios }: GrowthReport): string {
  const names = Object.keys(ratios);
  const head = points.map(({ keys }) => `${keys} keys`);
  const section = (unit: string, of: (cost: Cost) => number, ratio: "p50" | "processor") =>
    table(
      [unit, ...head, "ratio"],
      names.map((name) => [
        name,
        ...points.map(({ costs }) => of(costs[name]!).toFixed(1)),
        ratios[name]![ratio].toFixed(2),
      ]),
    );
  return [
    heading("More keys in metering", settings),
    ...[section("p50 ms", ({ p50 }) => p50, "p50"), ""],
    ...[section("processor ms, metering and Postgres", processor, "processor"), ""],
    ...points.map(({ keys, fillSeconds, sizes }) => {
      const rows = Object.entries(sizes).map(([name, count]) => `${name} ${count}`);
      return `${keys} keys, added in ${fillSeconds.toFixed(1)} s: rows ${rows.join(", ")}`;
    }),
  ].join("\n");
}

function processor({ metering, postgres }: Cost): number {
  return metering + postgres;
}

async function measure(
  { world }: GrowingWorld,
  operations: readonly Operation[],
  sql: pg.Client,
  rounds: number,
): Promise<Point["costs"]> {
  const taken = new Map(
    operations.map(({ name }) => [name, { ms: [] as number[], metering: 0, postgres: 0 }]),
  );
  for (let round = 0; round < rounds; round++) {
    for (const { name, calls, prepare } of operations) {
      const prepared = Array.from({ length: calls }, prepare);
      const all = taken.get(name)!;
      const { meteringProcess } = world.deployment;
      const [metering, postgres] = [await cpuSeconds(meteringProcess), await postgresSeconds(sql)];
      const ms = await msOfEach(prepared);
      all.metering += (await cpuSeconds(meteringProcess)) - metering;
      all.postgres += (await postgresSeconds(sql)) - postgres;
      all.ms.push(...ms);
    }
  }
  const costs = [...taken].map(([name, all]) => [name, costOf(all)] as const);
  return Object.fromEntries(costs);
}

async function msOfEach(runs: readonly (() => Promise<unknown>)[]): Promise<number[]> {
  const ms: number[] = [];
  for (const run of runs) {
    const beganMs = performance.now();
    await run();
    ms.push(performance.now() - beganMs);
  }
  return ms;
}

function costOf({
  ms,
  metering,
  postgres,
}: {
  ms: readonly number[];
  metering: number;
  postgres: number;
}): Cost {
  const sorted = ms.toSorted((a, b) => a - b);
  return {
    p50: median(sorted),
    p99: sorted[Math.floor((sorted.length - 1) * 0.99)]!,
    metering: (metering * 1000) / ms.length,
    postgres: (postgres * 1000) / ms.length,
  };
}
