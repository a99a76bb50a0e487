import { redact } from "@gatehouse/keys";
import { createLog, Disposables, serve, untilSignal } from "@gatehouse/service";
import { createAuthz, readAuthzConfig } from "./index.ts";

const config = readAuthzConfig(process.env);
const { grpc, http, logLevel, keyPrefix } = config;
const log = createLog({ name: "authz", level: logLevel, redactText: (text) => redact(text, keyPrefix) });
await using opened = new Disposables(log);
const authz = await createAuthz(config, log);
opened.add("authz", authz.close);
const { routes, guard, ready } = authz;
const server = opened.use("server", await serve({ grpc, http, routes, guard, ready: { feeds: ready }, log }));
server.setServing(true);
log.info({ signal: await untilSignal() }, "closing");
