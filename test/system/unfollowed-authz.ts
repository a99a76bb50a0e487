/** authz with mechanism one off: it never asks again whether what it knows still holds. For negative controls. */
import { createAuthz, readAuthzConfig } from "@gatehouse/authz";
import { createLog, Disposables, serve, untilSignal } from "@gatehouse/service";

const config = readAuthzConfig(process.env);
const { grpc, http, logLevel } = config;
const log = createLog({ name: "authz", level: logLevel });
await using opened = new Disposables(log);
const authz = await createAuthz(config, log, {}, { following: false });
opened.add("authz", authz.close);
const { routes, guard, ready } = authz;
const server = opened.use("server", await serve({ grpc, http, routes, guard, ready: { feeds: ready }, log }));
server.setServing(true);
log.info({ signal: await untilSignal() }, "closing");
