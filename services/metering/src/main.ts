import { redact } from "@gatehouse/keys";
import { createLog, Disposables, openTracing, serve, serviceMetrics, untilSignal } from "@gatehouse/service";
import { createMetering, readMeteringConfig } from "./index.ts";

const config = readMeteringConfig(process.env);
const { grpc, http, serving, logLevel, keyPrefix } = config;
const log = createLog({ name: "metering", level: logLevel, redactText: (text) => redact(text, keyPrefix) });
await using opened = new Disposables(log);
const tracing = await openTracing({ service: "metering", ...config.tracing, log, opened });
const metering = await createMetering(config, log);
opened.add("metering", metering.close);
const { routes, guard, ready } = metering;
const metrics = serviceMetrics("metering", metering.metrics);
const server = opened.use(
  "server",
  await serve({ grpc, http, ...serving, routes, guard, ready: { metering: ready }, log, metrics, tracing }),
  serving.drainDelayMs + 10_000,
);
server.setServing(true);
log.info({ signal: await untilSignal() }, "closing");
