import { redact } from "@gatehouse/keys";
import { createLog, Disposables, openTracing, serve, serviceMetrics, untilSignal } from "@gatehouse/service";
import { createIdentity, readIdentityConfig } from "./index.ts";
import { keepRootKey } from "./keep-root-key.ts";

const config = readIdentityConfig(process.env);
const { grpc, http, serving, logLevel, keyPrefix, dataDirectory } = config;
const log = createLog({ name: "identity", level: logLevel, redactText: (text) => redact(text, keyPrefix) });
await using opened = new Disposables(log);
const tracing = await openTracing({ service: "identity", ...config.tracing, log, opened });
const identity = await createIdentity(config, log);
opened.add("identity", identity.close);
const { rootKey } = identity.bootstrapped;
if (rootKey !== undefined) log.info({ path: await keepRootKey(rootKey, dataDirectory) }, "made the root key");
const { routes, guard, ready } = identity;
const metrics = serviceMetrics("identity", identity.metrics);
const server = opened.use(
  "server",
  await serve({ grpc, http, ...serving, routes, guard, ready: { database: ready }, log, metrics, tracing }),
  serving.drainDelayMs + 10_000,
);
server.setServing(true);
log.info({ signal: await untilSignal() }, "closing");
