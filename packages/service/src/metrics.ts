import type { DescMethod } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { collectDefaultMetrics, Registry } from "prom-client";
import { durations, type Metric, registerMetrics, type Sample } from "./metric.ts";
import { endRpcSpan, isServerFault } from "./rpc-span.ts";
import type { Span } from "./span.ts";

const CODES = 17;
const REQUESTS = "gatehouse_rpc_requests_total";
const DURATIONS = "gatehouse_rpc_duration_seconds";

/**
 * A registry whose metrics carry the service's name: its own, and those of the process (memory, CPU, event loop, GC).
 */
export function createRegistry(service: string, metrics: readonly Metric[] = []): Registry {
  const registry = new Registry();
  registry.setDefaultLabels({ service });
  collectDefaultMetrics({ register: registry });
  // Left out among workers by default. The youngest says that one of them was started again.
  Object.assign(registry.getSingleMetric("process_start_time_seconds")!, { aggregator: "max" });
  registerMetrics(registry, metrics);
  return registry;
}

/** All metrics of a service: its own, its process's, its RPCs'. */
export function serviceMetrics(service: string, metrics: readonly Metric[]): RpcMetrics {
  return new RpcMetrics(createRegistry(service, metrics));
}

/** Counts one finished call: its gRPC status code, and how long it took in milliseconds. Ends its span if it has one. */
export type ObserveCall = (code: number, elapsedMs: number, span?: Span) => void;

/** `gatehouse_rpc_requests_total{method,code}` and `gatehouse_rpc_duration_seconds{method}`. */
export class RpcMetrics {
  readonly registry: Registry;
  readonly #methods = new Map<string, MethodCounts>();

  /** Registers itself with `registry`, which holds the service's other metrics as well. */
  constructor(registry: Registry = new Registry()) {
    this.registry = registry;
    const each = (read: (counts: MethodCounts, method: string) => Sample[]) => () =>
      [...this.#methods].flatMap(([method, counts]) => read(counts, method));
    registerMetrics(registry, [
      {
        name: REQUESTS,
        help: "Finished calls, by gRPC status code.",
        type: "counter",
        aggregator: "sum",
        read: each((counts, method) => counts.requests(method)),
      },
      {
        name: DURATIONS,
        help: "How long calls took.",
        type: "histogram",
        aggregator: "sum",
        read: each((counts, method) => counts.durations.samples(DURATIONS, { method })),
      },
    ]);
  }

  /** The counter of one RPC; the same for both transports. */
  observer(method: DescMethod): ObserveCall {
    const name = `${method.parent.typeName}/${method.name}`;
    const counts = this.#methods.get(name) ?? new MethodCounts();
    this.#methods.set(name, counts);
    return (code, elapsedMs, span) => {
      counts.observe(code, elapsedMs);
      if (span !== undefined) endRpcSpan(span, code, isServerFault(code));
    };
  }
}

class MethodCounts {
  readonly durations = durations();
  readonly #codes = new Float64Array(CODES);

  observe(code: number, elapsedMs: number): void {
    this.#codes[code]!++;
    this.durations.observe(elapsedMs);
  }

  requests(method: string): Sample[] {
    return [...this.#codes].flatMap((value, code) =>
      value === 0 ? [] : [{ value, labels: { method, code: status[code] ?? String(code) } }],
    );
  }
}
