import type { DescMethod } from "@bufbuild/protobuf";
import type { Log } from "./log.ts";
import { counter, type Metric } from "./metric.ts";
import type { RpcSystem } from "./rpc-span.ts";
import type { Disposables } from "./shutdown.ts";
import type { Span } from "./span.ts";

/** What {@link openTracing} takes. */
export interface TracingOptions {
  /** The service's name in traces. */
  readonly service: string;
  /** Where spans are sent, by OTLP over HTTP; undefined: nothing is traced. */
  readonly endpoint: URL | undefined;
  /** The share of calls that begin a trace, 0 to 1. */
  readonly ratio: number;
  readonly log: Pick<Log, "warn">;
  /** Closes it, after everything that was opened later. */
  readonly opened: Pick<Disposables, "add">;
}

/** At the end, spans have this long to reach the endpoint. */
const FLUSH_MS = 4000;

/** Which calls are traced, and where their spans go. */
export interface Tracing {
  readonly counts: TraceCounts;
  /** Begins the spans of an RPC's calls; for one that is not sampled there is none. */
  calls(method: DescMethod, system: RpcSystem): BeginCall;
  /** Sends what there is; whoever waits for it sets a deadline. Never rejects. */
  close(): Promise<void>;
}

/** `traceparent` is the header of the call, where it has one. */
export type BeginCall = (traceparent: string | undefined) => Span | undefined;

/** What became of spans. */
export class TraceCounts {
  exported = 0;
  /** The endpoint did not take them. */
  failed = 0;
  /** They came faster than the endpoint took them. */
  dropped = 0;
}

/** Undefined where nothing is to be traced: then not even the code for it is loaded. */
export async function openTracing(options: TracingOptions): Promise<Tracing | undefined> {
  const { endpoint } = options;
  if (endpoint === undefined) return undefined;
  const { SampledTracing } = await import("./sampled-tracing.ts");
  const tracing = new SampledTracing({ ...options, endpoint });
  options.opened.add("tracing", () => tracing.close(), FLUSH_MS);
  return tracing;
}

/** What became of spans, also where there are none. */
export function traceMetrics(tracing: Tracing | undefined): readonly Metric[] {
  const counts = tracing?.counts ?? new TraceCounts();
  const read = () => ({ exported: counts.exported, failed: counts.failed, dropped: counts.dropped });
  const help = "Spans of traces, by what became of them.";
  return [counter("gatehouse_trace_spans_total", help, read, "outcome")];
}
