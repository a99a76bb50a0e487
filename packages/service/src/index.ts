export { type Address, joinAddress } from "./address.ts";
export { BUS_PAYLOAD_BYTES_MAX, type Bus, type BusHandler, type BusSubscription } from "./bus.ts";
export { localBus } from "./bus-local.ts";
export { type NatsBusOptions, natsBus } from "./bus-nats.ts";
export { type Call, type Later, plainAddress } from "./call.ts";
export {
  type CallHeaders,
  type ClientOptions,
  type GrpcClient,
  grpcClient,
  type StreamOptions,
  type UnaryOptions,
} from "./client-grpc.ts";
export * as config from "./config.ts";
export { ConfigError, type ConfigOf, type ConfigSpec, configOrExit, readConfig } from "./config.ts";
export { sleep, withDeadline } from "./deadline.ts";
export { connectError, ERROR_DOMAIN, failureFrom, grpcError } from "./error-wire.ts";
export * from "./failure.ts";
export { accessRule, type Guard, type Handlers, type Reply, type Route, route } from "./handlers.ts";
export { sendJson } from "./http-json.ts";
export type { ExtraEndpoint } from "./http-transport.ts";
export { CALLS_MAX, CONNECTIONS_MAX, REPLY_BYTES_MAX, REQUEST_BYTES_MAX } from "./limits.ts";
export { lockDirectory } from "./lock-directory.ts";
export { createLog, type Log, type LogLevel, type LogOptions } from "./log.ts";
export { type Loop, type LoopLog, type LoopOptions, runLoop } from "./loop.ts";
export {
  counter,
  durations,
  gauge,
  Histogram,
  histogram,
  joined,
  labelled,
  type Metric,
  type Sample,
} from "./metric.ts";
export { createRegistry, RpcMetrics, serviceMetrics } from "./metrics.ts";
export { type OpenBusOptions, openBus } from "./open-bus.ts";
export type { CallOwn, PlainExchange } from "./own-calls.ts";
export { type PeerCertificate, peerCertificateOf } from "./peer-certificate.ts";
export type { ReadinessChecks } from "./readiness.ts";
export { seldom } from "./seldom.ts";
export { type ServedConfig, type ServeServiceOptions, type Service, serveService } from "./serve-service.ts";
export { type ServeOptions, type ServingService, serve } from "./server.ts";
export { type Environment, optional, Secret, type Setting, setting } from "./setting.ts";
export { Disposables, untilSignal } from "./shutdown.ts";
export { SingleFlight, type SingleFlightOptions } from "./single-flight.ts";
export type { AttributeValue, Span } from "./span.ts";
export { type ServerTls, serverTls } from "./tls.ts";
export { openTracing, type Tracing, type TracingOptions } from "./tracing.ts";
export { inWorkers, type Worker, type WorkersOptions } from "./workers.ts";
