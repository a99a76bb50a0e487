/**
 * Warm Verify by one worker and by two, asked by the same load, who may use both cores beside it. On two cores the load
 * and the second worker share one, so that this shows what a call costs in workers and that both are asked; how much
 * more two answer it shows only where there are cores to spare.
 */
import { readdir, readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { DecisionCode } from "@gatehouse/proto/authz";
import { ALL_CORES, cpuSecondsOf, deploy, end, type Replica } from "./deployment.ts";
import { type Latencies, latenciesIn, ofLatencies } from "./latencies.ts";
import { load, median } from "./rounds.ts";
import { KEYS, makeKeys } from "./warm-keys.ts";

const WORKERS = [1, 2];
/** Each is one connection, and a connection stays with its worker. */
const LOADS = 4;
const IN_FLIGHT_EACH = 16;
const WARM_SECONDS = 6;
const ROUND_SECONDS = 3;
const ROUNDS = 5;

export interface WorkersReport {
  readonly bench: "workers";
  readonly settings: Record<string, string | number>;
  readonly by: readonly ByWorkers[];
}

interface ByWorkers extends Latencies {
  readonly workers: number;
  readonly callsPerSecond: number;
  /** Of the primary and all workers. */
  readonly cpuMicrosPerCall: number;
  /** Cores that they had together. */
  readonly coresBusy: number;
  /** The share of the processor time that each process had, the most first. */
  readonly shares: readonly number[];
}

export async function benchWorkers(): Promise<WorkersReport> {
  const deployment = await deploy();
  try {
    const { requests } = await makeKeys(deployment);
    await end(deployment.authzProcess);
    const ask = async (seconds: number, { address }: Replica) => {
      const one = {
        address,
        file: requests,
        inFlight: IN_FLIGHT_EACH,
        seconds,
        key: deployment.rootKey,
        expected: DecisionCode.VALID,
      };
      const reports = await Promise.all(Array.from({ length: LOADS }, () => load(one)));
      const calls = reports.reduce((sum, report) => sum + report.calls, 0);
      const elapsedSeconds = Math.max(...reports.map((report) => report.elapsedSeconds));
      return { ...ofLatencies(reports, worst), calls, elapsedSeconds };
    };
    const by: ByWorkers[] = [];
    for (const workers of WORKERS) {
      const environment = { GATEHOUSE_WORKERS: String(workers) };
      const replica = await deployment.startReplica(`workers-${workers}`, { core: ALL_CORES, environment });
      await ask(WARM_SECONDS, replica);
      const rounds: ByWorkers[] = [];
      for (let i = 0; i < ROUNDS; i++) {
        const pids = await familyOf(replica.child.pid!);
        const before = await Promise.all(pids.map(cpuSecondsOf));
        const asked = await ask(ROUND_SECONDS, replica);
        const { calls, elapsedSeconds } = asked;
        const used = (await Promise.all(pids.map(cpuSecondsOf))).map((seconds, i) => seconds - before[i]!);
        const total = used.reduce((sum, seconds) => sum + seconds, 0);
        rounds.push({
          ...latenciesIn(asked),
          workers,
          callsPerSecond: calls / elapsedSeconds,
          cpuMicrosPerCall: (total * 1e6) / calls,
          coresBusy: total / elapsedSeconds,
          shares: used.map((seconds) => seconds / total).sort((a, b) => b - a),
        });
      }
      by.push(medianOf(rounds));
      await end(replica.child);
    }
    return {
      bench: "workers",
      settings: {
        node: process.version,
        keys: KEYS,
        cores: availableParallelism(),
        loads: LOADS,
        inFlightEach: IN_FLIGHT_EACH,
        rounds: ROUNDS,
        roundSeconds: ROUND_SECONDS,
      },
      by,
    };
  } finally {
    await deployment.stop();
  }
}

/** Of the connections the one that waited longest. */
function worst(values: readonly number[]): number {
  return Math.max(...values);
}

/** The round that is in the middle by what a call cost. */
function medianOf(rounds: readonly ByWorkers[]): ByWorkers {
  const middle = median(rounds.map(({ cpuMicrosPerCall }) => cpuMicrosPerCall));
  return rounds.find(({ cpuMicrosPerCall }) => cpuMicrosPerCall === middle)!;
}

/** A process and its children. */
async function familyOf(pid: number): Promise<number[]> {
  const family = [pid];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    // It may have ended meanwhile.
    const stat = await readFile(`/proc/${name}/stat`, "utf8").catch(() => "");
    if (Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) === pid) family.push(Number(name));
  }
  return family;
}
