import { redact } from "@gatehouse/keys";
import { createLog, createRegistry, Disposables, RpcMetrics, serve, untilSignal } from "@gatehouse/service";
import { createAuthz, readAuthzConfig } from "./index.ts";

const config = readAuthzConfig(process.env);
const { grpc, http, logLevel, keyPrefix } = config;
const log = createLog({ name: "authz", level: logLevel, redactText: (text) => redact(text, keyPrefix) });
await using opened = new Disposables(log);
const authz = await createAuthz(config, log);
opened.add("authz", authz.close);
const { routes, guard, extra, ready } = authz;
const metrics = new RpcMetrics(createRegistry("authz", authz.metrics));
const options = { grpc, http, routes, guard, extra, ready: { feeds: ready }, log, metrics };
const server = opened.use("server", await serve(options));
server.setServing(true);
log.info({ signal: await untilSignal() }, "closing");
