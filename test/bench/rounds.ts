/** A measured stretch of load, and medians of several. */
import type { ChildProcess } from "node:child_process";
import { AuthzService, type DecisionCode } from "@gatehouse/proto/authz";
import { cpuSeconds, fromRoot, runBeside } from "./deployment.ts";
import { indeterminateOf, requireAnswers } from "./expected-answers.ts";
import { type Latencies, latenciesIn, ofLatencies } from "./latencies.ts";
import type { LoadOptions, LoadReport } from "./load.ts";

export interface Round extends Latencies {
  readonly calls: number;
  readonly callsPerSecond: number;
  readonly cpuMicrosPerCall: number;
  /** Share of a core that the measured process had. */
  readonly coreBusy: number;
  /** Answers that nothing is known. */
  readonly indeterminate: number;
}

export interface Ask extends Omit<LoadOptions, "path" | "authorization"> {
  /** The verifier's. */
  readonly key: string;
  readonly method?: "verify" | "batchVerify";
  /** Counts as a failure otherwise; undefined: any answer is fine. */
  readonly expected?: DecisionCode | undefined;
}

/** Load on an authz, or on the echo. Rejects where answers are not what was expected. */
export async function load({ key, method = "verify", expected, ...ask }: Ask): Promise<LoadReport> {
  const path = `/${AuthzService.typeName}/${AuthzService.method[method].name}`;
  const options: LoadOptions = { ...ask, path, authorization: `Bearer ${key}` };
  const printed = await runBeside([fromRoot("test/bench/load.ts"), JSON.stringify(options)]);
  const report: LoadReport = JSON.parse(printed);
  if (expected !== undefined) requireAnswers(report, expected);
  return report;
}

/** What the load cost a process. */
export async function measured(child: ChildProcess, run: () => Promise<LoadReport>): Promise<Round> {
  const before = await cpuSeconds(child);
  const report = await run();
  const { calls, elapsedSeconds } = report;
  const used = (await cpuSeconds(child)) - before;
  return {
    calls,
    callsPerSecond: calls / elapsedSeconds,
    cpuMicrosPerCall: (used * 1e6) / calls,
    coreBusy: used / elapsedSeconds,
    ...latenciesIn(report),
    indeterminate: indeterminateOf(report),
  };
}

/** Of every number the median, but what is to be rare is added up. */
export function medianRound(rounds: readonly Round[]): Round {
  const of = (field: keyof Round) => median(rounds.map((round) => round[field]));
  return {
    calls: of("calls"),
    callsPerSecond: of("callsPerSecond"),
    cpuMicrosPerCall: of("cpuMicrosPerCall"),
    coreBusy: of("coreBusy"),
    ...ofLatencies(rounds, median),
    indeterminate: rounds.reduce((sum, round) => sum + round.indeterminate, 0),
  };
}

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
