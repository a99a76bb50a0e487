import type { ServerCredentials } from "@grpc/grpc-js";
import { type Address, joinAddress } from "./address.ts";
import { grpcTransport } from "./grpc-transport.ts";
import type { Guard, Route } from "./handlers.ts";
import { type ExtraEndpoint, httpTransport } from "./http-transport.ts";
import type { Log } from "./log.ts";
import { RpcMetrics } from "./metrics.ts";
import { Readiness, type ReadinessChecks } from "./readiness.ts";
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
  /** Plain HTTP endpoints beside the RPCs. */
  readonly extra?: ExtraEndpoint | undefined;
  /** How long calls in flight may go on after close, in milliseconds; default 5000. */
  readonly graceMs?: number | undefined;
  /** TLS for gRPC; default plaintext. */
  readonly grpcCredentials?: ServerCredentials | undefined;
}

/** A running service. */
export interface ServingService {
  /** `host:port`, with the actual port. */
  readonly grpcAddress: string;
  /** `host:port`, with the actual port. */
  readonly httpAddress: string;
  /** What health and `/readyz` say. False until called: a service that listens is not yet one that works. */
  setServing(serving: boolean): void;
  /** Says NOT_SERVING, aborts `call.draining`, waits for calls in flight, cuts them after the grace. Idempotent. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Serves routes over gRPC and over HTTP. Rejects, with nothing left listening, where a port is taken, the guard
 * refuses an RPC, or an RPC states no access rule.
 */
export async function serve<P>(options: ServeOptions<P>): Promise<ServingService> {
  const { log, graceMs = 5000 } = options;
  const metrics = options.metrics ?? new RpcMetrics();
  const draining = new AbortController();
  const shared: TransportOptions<P> = {
    routes: options.routes,
    guard: options.guard,
    metrics,
    draining: draining.signal,
    report: (incident, error) => log.error({ incident, err: error }, "a call failed by a fault"),
  };
  const readiness = new Readiness(options.ready ?? {});
  const grpc = grpcTransport(shared, options.grpcCredentials);
  const http = httpTransport({ ...shared, readiness, registry: metrics.registry, extra: options.extra });

  let closing: Promise<void> | undefined;
  async function closeBoth(): Promise<void> {
    readiness.serving = false;
    draining.abort();
    await Promise.all([grpc.close(graceMs), http.close(graceMs)]);
  }
  function close(): Promise<void> {
    closing ??= closeBoth();
    return closing;
  }

  try {
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
