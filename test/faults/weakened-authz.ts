/** authz with one rule off that a revocation rests on, named by WEAKENED. For negative controls. */
import { createAuthz, readAuthzConfig } from "@gatehouse/authz";
import { createLog, Disposables, serve, untilSignal } from "@gatehouse/service";
import { type Weakening, type WeakeningName, weakenings } from "../../services/authz/test/weakenings.ts";

const config = readAuthzConfig(process.env);
const { grpc, http, logLevel } = config;
const log = createLog({ name: "authz", level: logLevel });
await using opened = new Disposables(log);
const { parts }: Weakening = weakenings[process.env.WEAKENED as WeakeningName];
if (parts === undefined) throw new Error("what is weakened is not a part of authz");
const clock = { now: () => ({ monotonicMs: performance.now(), wallMs: Date.now() }) };
const authz = await createAuthz(config, log, {}, { parts: parts(clock) });
opened.add("authz", authz.close);
const { routes, guard, ready } = authz;
const server = opened.use("server", await serve({ grpc, http, routes, guard, ready: { feeds: ready }, log }));
server.setServing(true);
log.info({ signal: await untilSignal() }, "closing");
