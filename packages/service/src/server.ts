import type { Registry } from "prom-client";
import { type Address, joinAddress } from "./address.ts";
import { CallRoom } from "./call-room.ts";
import { sleep } from "./deadline.ts";
import { grpcTransport } from "./grpc-transport.ts";
import type { Guard, Route } from "./handlers.ts";
import { type ExtraEndpoint, httpTransport } from "./http-transport.ts";
import { type CALLS_MAX, CONNECTIONS_MAX } from "./limits.ts";
import type { Log } from "./log.ts";
import { gauge, registerMetrics } from "./metric.ts";
import { RpcMetrics } from "./metrics.ts";
import { Readiness, type ReadinessChecks } from "./readiness.ts";
import { traceOf } from "./span.ts";
import type { ServerTls } from "./tls.ts";
import { type Tracing, traceMetrics } from "./tracing.ts";
import type { TransportOptions } from "./transport.ts";

/** What {@link serve} takes. */
export interface ServeOptions<P> {
  readonly grpc: Address;
  readonly http: Address;
  readonly routes: readonly Route<P>[];
  readonly guard: Guard<P>;
  /** What `/readyz` asks, by the name it shows. */
  readonly ready?: ReadinessChecks | undefined;
  readonly log: Log;
  readonly metrics?: RpcMetrics | undefined;
  /** Default: nothing is traced. Left open by close. */
  readonly tracing?: Tracing | undefined;
  /** Makes the text of `/metrics` where the process is not alone; see `inWorkers`. */
  readonly gatherMetrics?: ((own: Registry) => () => Promise<string>) | undefined;
  /** Plain HTTP endpoints beside the RPCs. */
  readonly extra?: ExtraEndpoint | undefined;
  /**
   * How long to wait for `ready` before listening, in milliseconds; default 0. Clients that spread calls begin to call
   * as soon as somebody listens; what does not become ready in time listens all the same, and says so.
   */
  readonly readyWithinMs?: number | undefined;
  /** How many calls may be in flight, over both transports; default {@link CALLS_MAX}. More are refused at once. */
  readonly maxCalls?: number | undefined;
  /** How many connections each port takes; default {@link CONNECTIONS_MAX}. More are closed at once. */
  readonly maxConnections?: number | undefined;
  /** How long an HTTP connection may stand still, in milliseconds; default two minutes. */
  readonly stalledMs?: number | undefined;
  /** How long calls are still taken after NOT_SERVING was said, so that who spreads calls hears of it; default 0. */
  readonly drainDelayMs?: number | undefined;
  /** How long calls in flight may go on after close, in milliseconds; default 5000. */
  readonly graceMs?: number | undefined;
  /** For both transports; default plaintext. */
  readonly tls?: ServerTls | undefined;
}

/** A running service. */
export interface ServingService {
  /** `host:port`, with the actual port. */
  readonly grpcAddress: string;
  /** `host:port`, with the actual port. */
  readonly httpAddress: string;
  /** What health and `/readyz` say. False until called: a service that listens is not yet one that works. */
  setServing(serving: boolean): void;
  /**
   * Says NOT_SERVING, waits for the drain delay, takes no call any more and aborts `call.draining`, waits for calls in
   * flight, cuts them after the grace. Idempotent.
   */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Serves routes over gRPC and over HTTP. Rejects, with nothing left listening, where a port is taken, the guard
 * refuses an RPC, or an RPC states no access rule.
 */
export async function serve<P>(options: ServeOptions<P>): Promise<ServingService> {
  const { log, graceMs = 5000, drainDelayMs = 0 } = options;
  const { metrics = new RpcMetrics(), tracing } = options;
  const room = new CallRoom(options.maxCalls);
  const inFlight = gauge(
    "gatehouse_calls_in_flight",
    "Calls that are being answered.",
    "sum",
    () => room.calls,
  );
  registerMetrics(metrics.registry, [inFlight, ...traceMetrics(tracing)]);
  const draining = new AbortController();
  const shared: TransportOptions<P> = {
    routes: options.routes,
    guard: options.guard,
    metrics,
    tracing,
    room,
    maxConnections: options.maxConnections ?? CONNECTIONS_MAX,
    draining: draining.signal,
    report: (incident, error, span) =>
      log.error({ incident, ...traceOf(span), err: error }, "a call failed by a fault"),
  };
  const readiness = new Readiness(options.ready ?? {});
  const grpc = grpcTransport(shared, options.tls);
  const { registry } = metrics;
  const scrape = options.gatherMetrics?.(registry) ?? (() => registry.metrics());
  const http = httpTransport({
    ...shared,
    readiness,
    scrape,
    stalledMs: options.stalledMs,
    extra: options.extra,
    tls: options.tls,
  });

  let closing: Promise<void> | undefined;
  async function closeBoth(): Promise<void> {
    const wasServing = readiness.serving;
    readiness.serving = false;
    grpc.setServing(false);
    http.leave();
    // Who was never sent calls need not be let go of.
    if (wasServing) await sleep(drainDelayMs);
    draining.abort();
    await Promise.all([grpc.close(graceMs), http.close(graceMs)]);
  }
  function close(): Promise<void> {
    closing ??= closeBoth();
    return closing;
  }

  try {
    await readiness.untilChecksPass(options.readyWithinMs ?? 0);
    const grpcPort = await grpc.listen(options.grpc.host, options.grpc.port);
    const httpPort = await http.listen(options.http.host, options.http.port);
    const grpcAddress = joinAddress(options.grpc.host, grpcPort);
    const httpAddress = joinAddress(options.http.host, httpPort);
    log.info({ grpc: grpcAddress, http: httpAddress }, "listening");
    return {
      grpcAddress,
      httpAddress,
      setServing(serving) {
        readiness.serving = serving && closing === undefined;
        grpc.setServing(readiness.serving);
      },
      close,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
