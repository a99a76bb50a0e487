import type { Guard, Route } from "./handlers.ts";
import type { ExtraEndpoint } from "./http-transport.ts";
import type { Log } from "./log.ts";
import type { Metric } from "./metric.ts";
import { serviceMetrics } from "./metrics.ts";
import { type ServeOptions, type ServingService, serve } from "./server.ts";
import type { Disposables } from "./shutdown.ts";
import { openTracing, type TracingOptions } from "./tracing.ts";

/** A service as its package makes it. */
export interface Service<P> {
  readonly routes: readonly Route<P>[];
  readonly guard: Guard<P>;
  readonly extra?: ExtraEndpoint;
  readonly metrics: readonly Metric[];
  /** What `/readyz` asks, under the service's name. */
  ready(): Promise<void>;
  /** After the server has closed. */
  close(): Promise<void>;
}

/** What a service's configuration says of how it is served. */
export interface ServedConfig extends Pick<ServeOptions<unknown>, "grpc" | "http" | "tls"> {
  readonly serving: {
    readonly maxCalls: number;
    readonly maxConnections: number;
    readonly drainDelayMs: number;
  };
  readonly tracing: Pick<TracingOptions, "endpoint" | "ratio">;
}

export interface ServeServiceOptions<P, S> extends Pick<ServeOptions<P>, "gatherMetrics" | "readyWithinMs"> {
  readonly name: string;
  readonly config: ServedConfig;
  readonly create: () => Promise<S & Service<P>>;
  readonly log: Log;
  /** Closes the server, then the service, then its tracing. */
  readonly opened: Disposables;
}

/** Beyond the drain delay. Twice the grace that calls in flight have: a server that takes longer hangs. */
const CLOSE_MS = 10_000;

/**
 * Makes a service and serves it as it is configured, alone in its process or beside others. It listens then, and says
 * that it serves when it is told to.
 */
export async function serveService<P, S>(
  options: ServeServiceOptions<P, S>,
): Promise<{ readonly service: S & Service<P>; readonly server: ServingService }> {
  const { name, config, create, log, opened, gatherMetrics, readyWithinMs } = options;
  const { grpc, http, tls, serving } = config;
  const tracing = await openTracing({ service: name, ...config.tracing, log, opened });
  const service = await create();
  opened.add(name, () => service.close());
  const { routes, guard, extra } = service;
  const ready = { [name]: () => service.ready() };
  const metrics = serviceMetrics(name, service.metrics);
  const listening = { grpc, http, tls, ...serving, gatherMetrics, readyWithinMs };
  const server = await serve({ ...listening, routes, guard, extra, ready, log, metrics, tracing });
  opened.use(`${name} server`, server, serving.drainDelayMs + CLOSE_MS);
  return { service, server };
}
