import type { DescMethod } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { collectDefaultMetrics, type Metric, Registry } from "prom-client";

// Upper bounds in milliseconds: from a warm Verify (tens of microseconds) to the longest deadlines in use.
const BOUNDS_MS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 1000, 2500, 10_000];
const CODES = 17;
const REQUESTS = "gatehouse_rpc_requests_total";
const DURATIONS = "gatehouse_rpc_duration_seconds";

/** A registry whose metrics carry the service's name, with those of the process: memory, CPU, event loop, GC. */
export function createRegistry(service: string): Registry {
  const registry = new Registry();
  registry.setDefaultLabels({ service });
  collectDefaultMetrics({ register: registry });
  return registry;
}

/** Counts one finished call: its gRPC status code, and how long it took in milliseconds. */
export type ObserveCall = (code: number, elapsedMs: number) => void;

/**
 * `gatehouse_rpc_requests_total{method,code}` and `gatehouse_rpc_duration_seconds{method}`. prom-client hashes
 * label objects on every observation, about a microsecond each, which a warm Verify would feel; here an
 * observation is two additions into typed arrays, and labels are made when somebody scrapes.
 */
export class RpcMetrics {
  readonly registry: Registry;
  readonly #methods = new Map<string, MethodCounts>();

  /** Registers itself with `registry`, which holds the service's other metrics as well. */
  constructor(registry: Registry = new Registry()) {
    this.registry = registry;
    const requests = () => [...this.#methods].flatMap(([method, counts]) => counts.requests(method));
    const durations = () => [...this.#methods].flatMap(([method, counts]) => counts.durations(method));
    register(registry, REQUESTS, "Finished calls, by gRPC status code.", "counter", requests);
    register(registry, DURATIONS, "How long calls took.", "histogram", durations);
  }

  /** The counter of one RPC; the same for both transports. */
  observer(method: DescMethod): ObserveCall {
    const name = `${method.parent.typeName}/${method.name}`;
    const counts = this.#methods.get(name) ?? new MethodCounts();
    this.#methods.set(name, counts);
    return (code, elapsedMs) => counts.observe(code, elapsedMs);
  }
}

interface Sample {
  readonly value: number;
  readonly labels: Record<string, string | number>;
  readonly metricName?: string;
}

class MethodCounts {
  readonly #codes = new Float64Array(CODES);
  readonly #buckets = new Float64Array(BOUNDS_MS.length + 1);
  #sumMs = 0;

  observe(code: number, elapsedMs: number): void {
    let bucket = 0;
    while (bucket < BOUNDS_MS.length && elapsedMs > BOUNDS_MS[bucket]!) {
      bucket++;
    }
    this.#buckets[bucket]!++;
    this.#codes[code]!++;
    this.#sumMs += elapsedMs;
  }

  requests(method: string): Sample[] {
    return [...this.#codes].flatMap((value, code) =>
      value === 0 ? [] : [{ value, labels: { method, code: status[code] ?? String(code) } }],
    );
  }

  durations(method: string): Sample[] {
    let count = 0;
    const samples: Sample[] = [...this.#buckets].map((inBucket, index) => {
      count += inBucket;
      const le = index < BOUNDS_MS.length ? BOUNDS_MS[index]! / 1000 : "+Inf";
      return { metricName: `${DURATIONS}_bucket`, labels: { method, le }, value: count };
    });
    samples.push({ metricName: `${DURATIONS}_sum`, labels: { method }, value: this.#sumMs / 1000 });
    samples.push({ metricName: `${DURATIONS}_count`, labels: { method }, value: count });
    return samples;
  }
}

// A registry asks its metrics for no more than this; the type asks for a prom-client class.
function register(
  registry: Registry,
  name: string,
  help: string,
  type: string,
  values: () => Sample[],
): void {
  const metric = {
    name,
    help,
    type,
    aggregator: "sum",
    get: async () => ({ name, help, type, values: values() }),
  };
  registry.registerMetric(metric as unknown as Metric);
}
