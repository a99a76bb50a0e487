/** authz with one rule off that limits rest on, named by WEAKENED. For negative controls. */
import { createAuthz, readAuthzConfig } from "@gatehouse/authz";
import { createLog, Disposables, serve, untilSignal } from "@gatehouse/service";
import { type LeaseWeakening, leaseWeakenings } from "./lease-weakenings.ts";

const config = readAuthzConfig(process.env);
const { grpc, http, logLevel } = config;
const log = createLog({ name: "authz", level: logLevel });
await using opened = new Disposables(log);
const meteringSource = leaseWeakenings[process.env.WEAKENED as LeaseWeakening];
const authz = await createAuthz(config, log, {}, { parts: { meteringSource } });
opened.add("authz", authz.close);
const { routes, guard, ready } = authz;
const server = opened.use("server", await serve({ grpc, http, routes, guard, ready: { feeds: ready }, log }));
server.setServing(true);
log.info({ signal: await untilSignal() }, "closing");
