/** metering whose database is ahead of the machine's clock. */
import { createMetering, readMeteringConfig } from "@gatehouse/metering";
import { createLog, Disposables, serveService, untilSignal } from "@gatehouse/service";
import { aheadMs } from "./clock-ahead.ts";

const config = readMeteringConfig(process.env);
const log = createLog({ name: "metering", level: config.logLevel });
await using opened = new Disposables(log);
const create = () => createMetering(config, log, { clockOffsetMs: aheadMs });
const { server } = await serveService({ name: "metering", config, create, log, opened });
server.setServing(true);
log.info({ signal: await untilSignal() }, "closing");
