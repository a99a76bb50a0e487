/** What rows of usage cost: how many there are in a second, and the processor time that each takes of whom. */
import type { ChildProcess } from "node:child_process";
import type pg from "pg";
import { cpuSeconds } from "./deployment.ts";
import { postgresSeconds } from "./postgres-time.ts";
import { median } from "./rounds.ts";

/** Of a stretch of load. */
export interface UsageCost {
  readonly perSecond: number;
  /** Microseconds of processor time a row. */
  readonly metering: number;
  readonly postgres: number;
  /** Of who asks, or writes by hand. */
  readonly load: number;
}

export const COST_HEAD = ["a second", "CPU µs each: metering", "Postgres", "load"];

export function costCells({ perSecond, metering, postgres, load }: UsageCost): (string | number)[] {
  return [Math.round(perSecond), ...[metering, postgres, load].map((micros) => micros.toFixed(1))];
}

export function medianCost(costs: readonly UsageCost[]): UsageCost {
  const of = (field: keyof UsageCost) => median(costs.map((cost) => cost[field]));
  return { perSecond: of("perSecond"), metering: of("metering"), postgres: of("postgres"), load: of("load") };
}

export interface UsageLoad {
  readonly metering: ChildProcess;
  readonly sql: pg.Client;
  readonly callers: number;
  readonly seconds: number;
  /** That each call brings. */
  readonly rows: number;
}

/** Some callers, one call after another each. */
export async function costOf(
  { metering, sql, callers, seconds, rows }: UsageLoad,
  call: (caller: number) => Promise<unknown>,
): Promise<UsageCost> {
  const used = async () => {
    const { user, system } = process.cpuUsage();
    return [await cpuSeconds(metering), await postgresSeconds(sql), (user + system) / 1e6];
  };
  let calls = 0;
  const before = await used();
  const beganMs = performance.now();
  const run = async (_: unknown, caller: number) => {
    for (; performance.now() - beganMs < seconds * 1000; calls++) await call(caller);
  };
  await Promise.all(Array.from({ length: callers }, run));
  const elapsedSeconds = (performance.now() - beganMs) / 1000;
  const after = await used();
  const [ofMetering, postgres, load] = after.map((sum, i) => ((sum - before[i]!) * 1e6) / (calls * rows));
  return {
    perSecond: (calls * rows) / elapsedSeconds,
    metering: ofMetering!,
    postgres: postgres!,
    load: load!,
  };
}
