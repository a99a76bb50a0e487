import { redact } from "@gatehouse/keys";
import { configOrExit, createLog, Disposables, serveService, untilSignal } from "@gatehouse/service";
import { createMetering, readMeteringConfig } from "./index.ts";

const config = configOrExit(readMeteringConfig, process.env);
const { logLevel, keyPrefix } = config;
const log = createLog({ name: "metering", level: logLevel, redactText: (text) => redact(text, keyPrefix) });
await using opened = new Disposables(log);
const create = () => createMetering(config, log);
const { server } = await serveService({ name: "metering", config, create, log, opened });
server.setServing(true);
log.info({ signal: await untilSignal() }, "closing");
