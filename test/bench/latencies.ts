/** How long calls took, in microseconds. */
export interface Latencies {
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
}

/** NaN where there were none. */
export function latenciesOf(us: readonly number[]): Latencies {
  const sorted = Float64Array.from(us).sort();
  const at = (share: number) => Math.round(sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN);
  return { p50Us: at(0.5), p99Us: at(0.99), p999Us: at(0.999) };
}

/** Of a report that says more. */
export function latenciesIn({ p50Us, p99Us, p999Us }: Latencies): Latencies {
  return { p50Us, p99Us, p999Us };
}

/** Each number by itself: the ones that most of them lie around, or the worst. */
export function ofLatencies(
  latencies: readonly Latencies[],
  pick: (values: readonly number[]) => number,
): Latencies {
  const of = (field: keyof Latencies) => pick(latencies.map((each) => each[field]));
  return { p50Us: of("p50Us"), p99Us: of("p99Us"), p999Us: of("p999Us") };
}

export const LATENCY_HEAD = ["p50 µs", "p99 µs", "p99.9 µs"];

export function latencyCells({ p50Us, p99Us, p999Us }: Latencies): number[] {
  return [p50Us, p99Us, p999Us];
}
