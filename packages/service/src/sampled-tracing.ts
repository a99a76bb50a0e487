import { hostname } from "node:os";
import type { DescMethod } from "@bufbuild/protobuf";
import {
  type Context,
  type Span as OpenSpan,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import { parseTraceParent } from "@opentelemetry/core";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { AlwaysOnSampler, TracerProvider } from "@opentelemetry/sdk-trace";
import { type RpcSystem, rpcAttributes, rpcSpanName } from "./rpc-span.ts";
import type { AttributeValue, Span } from "./span.ts";
import { exportSpans, type SpanExport } from "./span-export.ts";
import { TraceSampling } from "./trace-sampling.ts";
import { type BeginCall, TraceCounts, type Tracing, type TracingOptions } from "./tracing.ts";

/** What is more is somebody's mistake; spans are small. */
const LIMITS = { attributeCountLimit: 16, attributeValueLengthLimit: 200, linkCountLimit: 16 };

/**
 * Tracing by OpenTelemetry's SDK. Whether a call is traced was decided before it is asked. No context is kept in the
 * air: AsyncLocalStorage would cost every call what only the sampled ones need.
 */
export class SampledTracing implements Tracing {
  readonly counts = new TraceCounts();
  readonly #sampling: TraceSampling;
  readonly #exported: SpanExport;
  readonly #tracer: Tracer;

  constructor({
    service,
    endpoint,
    ratio,
    log,
  }: Omit<TracingOptions, "opened"> & { readonly endpoint: URL }) {
    this.#sampling = new TraceSampling(ratio);
    this.#exported = exportSpans(endpoint, this.counts, log);
    const provider = new TracerProvider({
      resource: resourceFromAttributes({
        "service.namespace": "gatehouse",
        "service.name": service,
        "service.instance.id": `${hostname()}-${process.pid}`,
      }),
      sampler: new AlwaysOnSampler(),
      spanLimits: LIMITS,
      spanProcessors: [this.#exported],
    });
    this.#tracer = provider.getTracer("gatehouse");
  }

  calls(method: DescMethod, system: RpcSystem): BeginCall {
    const name = rpcSpanName(method);
    const attributes = rpcAttributes(method, system);
    return (traceparent) => {
      const sampled = this.#sampling.sample(traceparent);
      if (sampled === undefined) return undefined;
      const above = sampled === "root" ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, sampled);
      return new RecordedSpan(this.#tracer, name, SpanKind.SERVER, above, attributes);
    };
  }

  close(): Promise<void> {
    return this.#exported.close();
  }
}

class RecordedSpan implements Span {
  readonly #tracer: Tracer;
  readonly #span: OpenSpan;

  constructor(
    tracer: Tracer,
    name: string,
    kind: SpanKind,
    above: Context,
    attributes: Readonly<Record<string, AttributeValue>> = {},
  ) {
    this.#tracer = tracer;
    this.#span = tracer.startSpan(name, { kind, attributes }, above);
  }

  get traceparent(): string {
    const { traceId, spanId } = this.#span.spanContext();
    return `00-${traceId}-${spanId}-01`;
  }

  begin(name: string, kind: "internal" | "client" = "internal"): Span {
    const above = trace.setSpan(ROOT_CONTEXT, this.#span);
    return new RecordedSpan(
      this.#tracer,
      name,
      kind === "client" ? SpanKind.CLIENT : SpanKind.INTERNAL,
      above,
    );
  }

  link(other: { readonly traceparent: string }): void {
    const context = parseTraceParent(other.traceparent);
    if (context !== null) this.#span.addLink({ context });
  }

  set(name: string, value: AttributeValue): void {
    this.#span.setAttribute(name, value);
  }

  end(failure?: string): void {
    if (failure !== undefined) this.#span.setStatus({ code: SpanStatusCode.ERROR, message: failure });
    this.#span.end();
  }
}
