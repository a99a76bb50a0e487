import type { Metric as PromMetric, Registry } from "prom-client";

/**
 * A metric that is read when somebody scrapes. prom-client hashes label objects on every observation, about a
 * microsecond each; what is counted here costs an increment where it happens, and its text is made by the scrape.
 */
export interface Metric {
  /** Prometheus's way: `gatehouse_…`, base units, `_total` for counters. */
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  /** How the workers of one service add up to one number. */
  readonly aggregator: "sum" | "max" | "min";
  readonly read: () => readonly Sample[];
}

/** One line of a metric. No label may hold what a caller chooses: each value of it is kept for ever. */
export interface Sample {
  readonly value: number;
  readonly labels: Readonly<Record<string, string | number>>;
  /** Where it is not the metric's: the parts of a histogram. */
  readonly metricName?: string;
}

/** A number as it is, or one for each value of a label. */
export type Reading = number | Readonly<Record<string, number>>;

/** What only grows while the process lives. `label` names what the parts of a reading are told apart by. */
export function counter(name: string, help: string, read: () => Reading, label = ""): Metric {
  return { name, help, type: "counter", aggregator: "sum", read: () => samplesOf(read(), label) };
}

/** What goes up and down; `aggregator` says what stands for all workers. */
export function gauge(
  name: string,
  help: string,
  aggregator: Metric["aggregator"],
  read: () => Reading,
  label = "",
): Metric {
  return { name, help, type: "gauge", aggregator, read: () => samplesOf(read(), label) };
}

/** A histogram without labels; see {@link Histogram}. */
export function histogram(name: string, help: string, counts: Histogram): Metric {
  return { name, help, type: "histogram", aggregator: "sum", read: () => counts.samples(name, {}) };
}

/** Several lists of metrics as one: those of the same name become one metric with the samples of all. */
export function joined(...lists: readonly (readonly Metric[])[]): readonly Metric[] {
  const byName = new Map<string, Metric>();
  for (const metric of lists.flat()) {
    const other = byName.get(metric.name);
    const read = other === undefined ? metric.read : () => [...other.read(), ...metric.read()];
    byName.set(metric.name, { ...metric, read });
  }
  return [...byName.values()];
}

/** The same metrics with one more label on every sample, such as which feed they are of. */
export function labelled(metrics: readonly Metric[], label: string, value: string): readonly Metric[] {
  return metrics.map((metric) => ({
    ...metric,
    read: () => metric.read().map((each) => ({ ...each, labels: { [label]: value, ...each.labels } })),
  }));
}

/** Counts by upper bounds: an observation is two additions into typed arrays. */
export class Histogram {
  readonly #bounds: readonly number[];
  readonly #unit: number;
  readonly #buckets: Float64Array;
  #sum = 0;

  /** `unit` is what one of the observed unit is in the base unit: 0.001 for milliseconds shown as seconds. */
  constructor(bounds: readonly number[], unit = 1) {
    this.#bounds = bounds;
    this.#unit = unit;
    this.#buckets = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    let bucket = 0;
    while (bucket < this.#bounds.length && value > this.#bounds[bucket]!) bucket++;
    this.#buckets[bucket]!++;
    this.#sum += value;
  }

  samples(name: string, labels: Readonly<Record<string, string>>): Sample[] {
    let count = 0;
    const samples: Sample[] = [...this.#buckets].map((inBucket, index) => {
      count += inBucket;
      const le = index < this.#bounds.length ? rounded(this.#bounds[index]! * this.#unit) : "+Inf";
      return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: count };
    });
    samples.push({ metricName: `${name}_sum`, labels, value: this.#sum * this.#unit });
    samples.push({ metricName: `${name}_count`, labels, value: count });
    return samples;
  }
}

/** Milliseconds in, seconds out: from a warm Verify, tens of microseconds, to the longest deadlines in use. */
export function durations(): Histogram {
  return new Histogram(BOUNDS_MS, 0.001);
}

const BOUNDS_MS = [
  0.02, 0.05, 0.1, 0.15, 0.25, 0.35, 0.5, 0.75, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10_000,
];

/** Registers metrics. prom-client asks its metrics for no more than this; its type asks for a class of its own. */
export function registerMetrics(registry: Registry, metrics: readonly Metric[]): void {
  for (const { name, help, type, aggregator, read } of metrics) {
    const get = async () => ({ name, help, type, aggregator, values: read() });
    registry.registerMetric({ name, help, type, aggregator, get } as unknown as PromMetric);
  }
}

function samplesOf(reading: Reading, label: string): Sample[] {
  if (typeof reading === "number") return [{ value: reading, labels: {} }];
  return Object.entries(reading).map(([name, value]) => ({ value, labels: { [label]: name } }));
}

// 0.35 ms is 0.00035 s, and not 0.00035000000000000005.
function rounded(value: number): number {
  return Number(value.toPrecision(6));
}
