import { AuthzService } from "@gatehouse/proto/authz";
import { route } from "../handlers.ts";
import { createLog } from "../log.ts";
import { serviceMetrics } from "../metrics.ts";
import { serve } from "../server.ts";
import { inWorkers } from "../workers.ts";

// A service in workers, for tests: Verify answers with the number and the process id of its worker, BatchVerify never.
const [count, maxConnections, pingMs] = process.argv.slice(2).map(Number);
const log = createLog({ name: "worker-program", level: "info" });

await inWorkers({ count: count!, log, stopMs: 5000, pingMs }, async (worker) => {
  const routes = [
    route<typeof AuthzService, undefined>(AuthzService, {
      verify: () => ({ keyId: String(worker.number), keyName: String(process.pid) }),
      batchVerify: () => new Promise(() => {}),
      explain: () => ({}),
      heartbeat: () => ({}),
    }),
  ];
  const anywhere = { host: "127.0.0.1", port: 0 };
  const { gatherMetrics } = worker;
  await using server = await serve({
    grpc: anywhere,
    http: anywhere,
    routes,
    guard: () => () => undefined,
    log: worker.log,
    metrics: serviceMetrics("worker-program", []),
    gatherMetrics,
    maxConnections: Number.isNaN(maxConnections) ? undefined : maxConnections,
    graceMs: 1000,
  });
  server.setServing(true);
  worker.log.info({ pid: process.pid }, "serving");
  worker.log.info({ why: await worker.untilStopped() }, "closing");
});
