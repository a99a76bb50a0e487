import { redact } from "@gatehouse/keys";
import { configOrExit, createLog, Disposables, inWorkers, serveService } from "@gatehouse/service";
import { createAuthz, readAuthzConfig } from "./index.ts";

const config = configOrExit(readAuthzConfig, process.env);
const { serving, logLevel, keyPrefix } = config;
const redactText = (text: string) => redact(text, keyPrefix);
const log = createLog({ name: "authz", level: logLevel, redactText });
const stopMs = serving.drainDelayMs + 30_000;

await inWorkers({ count: config.workers, log, stopMs }, async ({ log, gatherMetrics, ...worker }) => {
  await using opened = new Disposables(log);
  const create = () => createAuthz(config, log, { worker });
  const ways = { log, opened, gatherMetrics, readyWithinMs: 5000 };
  const { server } = await serveService({ name: "authz", config, create, ...ways });
  server.setServing(true);
  log.info({ signal: await worker.untilStopped() }, "closing");
});
