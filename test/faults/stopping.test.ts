import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAuthz, readAuthzConfig } from "@gatehouse/authz";
import { newEncryptionKey, newPepper } from "@gatehouse/keys";
import { createLog } from "@gatehouse/service";
import { afterAll, expect, test } from "vitest";
import { measured } from "../system/measured.ts";
import { makeOrganization } from "../system/organization.ts";
import { useSystem } from "../system/use-system.ts";
import { ask, askUntilValid, countCodes } from "../system/verifying.ts";
import { arrivedUsage, sum, usageBelow } from "./books.ts";

const CALLS = 300;
/** Before the primary would kill its workers, and the test the replica. */
const STOP_MS_MAX = 15_000;

const directory = await mkdtemp(join(tmpdir(), "gatehouse-workers-spool-"));
afterAll(() => rm(directory, { recursive: true, force: true }));
const spool = { GATEHOUSE_SPOOL_DIR: directory, GATEHOUSE_PRODUCER: "authz-changing" };
const system = useSystem({
  replicas: [{ environment: { ...spool, GATEHOUSE_WORKERS: "2" } }, {}],
});

test("what workers left is shipped by a service in another number of them", { timeout: 60_000 }, async () => {
  const { root, replicas, identity, metering, serviceSecret } = system();
  const { process: workers, links } = replicas[0]!;
  const made = await makeOrganization(system(), "Another number");
  const connections = Array.from({ length: 8 }, () => system().as(root.secret));
  await Promise.all(connections.map((connection) => askUntilValid(connection, 0, { key: made.key.secret })));
  links.metering.cut();
  const answers = await Promise.all(
    Array.from({ length: CALLS }, (_, i) => ask(connections[i % 8]!, 0, { key: made.key.secret })),
  );
  for (const connection of connections) connection.close();
  expect(countCodes(answers)).toEqual({ VALID: CALLS });
  await workers.stop();
  const shippedBefore = sum((await usageBelow(made.master, made.id)).values());
  expect(shippedBefore).toBeLessThan(CALLS);

  const config = readAuthzConfig({
    ...spool,
    GATEHOUSE_SERVICE_SECRET: serviceSecret,
    GATEHOUSE_PEPPERS: newPepper("1"),
    GATEHOUSE_ENCRYPTION_KEYS: newEncryptionKey("1"),
    GATEHOUSE_IDENTITY_ADDRESS: identity.grpcAddress,
    GATEHOUSE_METERING_ADDRESS: metering.grpcAddress,
  });
  expect(config.workers).toBe(1);
  const authz = await createAuthz(config, createLog({ name: "authz", level: "silent" }));
  try {
    const usage = sum((await arrivedUsage(made.master, made.id, CALLS + connections.length)).values());
    measured("two workers became one", { answered: CALLS + connections.length, shippedBefore, usage });
    expect(usage).toBe(CALLS + connections.length);
  } finally {
    await authz.close();
  }
});

test("a replica ends within its bound while all that it depends on hangs", { timeout: 60_000 }, async () => {
  const { root, replicas } = system();
  const { process: replica, links } = replicas[1]!;
  const made = await makeOrganization(system(), "Hanging");
  await askUntilValid(root, 1, { key: made.key.secret });
  for (const link of Object.values(links)) link.hang();
  const startedMs = performance.now();
  await replica.stop();
  const stoppedMs = performance.now() - startedMs;
  for (const link of Object.values(links)) link.mend();
  measured("stopped while identity, metering and NATS hang", { "after ms": stoppedMs });
  expect(stoppedMs).toBeLessThan(STOP_MS_MAX);
});
