import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { type ExportResult, ExportResultCode } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import {
  BatchSpanProcessor,
  type ReadableSpan,
  type SpanExporter,
  type SpanProcessor,
} from "@opentelemetry/sdk-trace";
import type { Log } from "./log.ts";
import { seldom } from "./seldom.ts";
import type { TraceCounts } from "./tracing.ts";

/** About a kilobyte each: what waits for an endpoint that is slow or away stays below some megabytes. */
const SPANS_WAITING_MAX = 2048;
const SPANS_IN_BATCH_MAX = 512;
/** Soon enough for somebody who looks at a trace of a call just made. */
const EXPORT_EVERY_MS = 1000;
/** For one batch, trying again included; then its spans are lost. */
const EXPORT_TIMEOUT_MS = 3000;
const WARN_EVERY_MS = 60_000;

/** Sends spans in the background. Of more than it has room for, the newest are dropped and counted. */
export function exportSpans(endpoint: URL, counts: TraceCounts, log: Pick<Log, "warn">): SpanExport {
  return new BoundedProcessor(new WatchedExporter(endpoint, counts, log), counts);
}

/** Takes spans that have ended. */
export type SpanExport = SpanProcessor & {
  /** Sends what waits, as far as it is taken. Never rejects. */
  close(): Promise<void>;
};

class BoundedProcessor extends BatchSpanProcessor implements SpanExport {
  readonly #exporter: WatchedExporter;
  readonly #counts: TraceCounts;

  constructor(exporter: WatchedExporter, counts: TraceCounts) {
    super({
      exporter,
      maxQueueSize: SPANS_WAITING_MAX,
      maxExportBatchSize: SPANS_IN_BATCH_MAX,
      scheduledDelayMillis: EXPORT_EVERY_MS,
      exportTimeoutMillis: EXPORT_TIMEOUT_MS + 1000,
    });
    this.#exporter = exporter;
    this.#counts = counts;
  }

  // The SDK stops at the first batch that is not taken; the others are on their way all the same.
  async close(): Promise<void> {
    await this.shutdown().catch(() => this.#exporter.shutdown());
  }

  // The SDK drops what does not fit as well, and keeps to itself how much.
  override onEnd(span: ReadableSpan): void {
    if (this.#exporter.waiting >= SPANS_WAITING_MAX) {
      this.#counts.dropped++;
      return;
    }
    this.#exporter.waiting++;
    super.onEnd(span);
  }
}

/** The OTLP exporter, counted, and heard of no more than once a minute. */
class WatchedExporter implements SpanExporter {
  /** Spans that have ended and were not handed to the exporter yet. */
  waiting = 0;
  readonly #inner: OTLPTraceExporter;
  readonly #counts: TraceCounts;
  readonly #warn: (latest: { readonly spans: number; readonly reason: string | undefined }) => void;

  constructor(endpoint: URL, counts: TraceCounts, log: Pick<Log, "warn">) {
    // Everything is said here, so that nothing is left for the exporter to look up in OTEL_ variables; the one thing
    // that it would add to what it is told, their headers, the setting of the endpoint refuses.
    this.#inner = new OTLPTraceExporter({
      url: endpoint.href,
      headers: {},
      timeoutMillis: EXPORT_TIMEOUT_MS,
      // An enum of a package that is the exporter's, and not ours to import.
      compression: "none" as never,
      concurrencyLimit: Math.ceil(SPANS_WAITING_MAX / SPANS_IN_BATCH_MAX) + 1,
      httpAgentOptions: (protocol: string) =>
        protocol === "https:" ? new HttpsAgent({ keepAlive: true }) : new HttpAgent({ keepAlive: true }),
    });
    this.#counts = counts;
    this.#warn = seldom(
      (latest, times) =>
        log.warn({ ...latest, times }, "the endpoint of traces does not take them; they are lost"),
      () => performance.now(),
      WARN_EVERY_MS,
    );
  }

  export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    this.waiting -= spans.length;
    this.#inner.export(spans, (result) => {
      if (result.code === ExportResultCode.SUCCESS) this.#counts.exported += spans.length;
      else this.#lost(spans.length, result.error);
      done(result);
    });
  }

  shutdown(): Promise<void> {
    return this.#inner.shutdown();
  }

  #lost(spans: number, error: Error | undefined): void {
    this.#counts.failed += spans;
    this.#warn({ spans, reason: error?.message });
  }
}
