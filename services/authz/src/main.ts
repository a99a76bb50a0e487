import { redact } from "@gatehouse/keys";
import { createLog, Disposables, inWorkers, openTracing, serve, serviceMetrics } from "@gatehouse/service";
import { createAuthz, readAuthzConfig } from "./index.ts";

const config = readAuthzConfig(process.env);
const { serving, logLevel, keyPrefix } = config;
const redactText = (text: string) => redact(text, keyPrefix);
const log = createLog({ name: "authz", level: logLevel, redactText });
const stopMs = serving.drainDelayMs + 30_000;

await inWorkers({ count: config.workers, log, stopMs }, async ({ log, gatherMetrics, ...worker }) => {
  await using opened = new Disposables(log);
  const tracing = await openTracing({ service: "authz", ...config.tracing, log, opened });
  const authz = await createAuthz(config, log, { worker });
  opened.add("authz", authz.close);
  const { grpc, http, tls } = config;
  const { routes, guard, extra, ready } = authz;
  const metrics = serviceMetrics("authz", authz.metrics);
  const served = { routes, guard, extra, ready: { feeds: ready }, log, metrics, tracing, gatherMetrics };
  const server = await serve({ grpc, http, tls, ...serving, ...served, readyWithinMs: 5000 });
  opened.use("server", server, serving.drainDelayMs + 10_000);
  server.setServing(true);
  log.info({ signal: await worker.untilStopped() }, "closing");
});
