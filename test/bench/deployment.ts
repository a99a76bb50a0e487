/** A deployment to measure: identity and metering beside the load, authz on a core of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { newEncryptionKey, newPepper } from "@gatehouse/keys";
import { sleep } from "@gatehouse/service";
import { discardPostgres, findNatsServer, freePort, startNatsServer, startPostgres } from "@gatehouse/stack";

/** The core of what is measured; everything else runs on the other. */
export const MEASURED_CORE = "0";
export const OTHER_CORE = "1";
export const ALL_CORES = `0-${availableParallelism() - 1}`;
const READY_MS = 30_000;
/** As deploy/gatehouse starts authz and metering. */
export const YOUNG_FLAGS: readonly string[] = ["--max-semi-space-size=64"];
export const serviceSecret = "a secret that the services of a benchmark share";

export interface Deployment {
  readonly rootKey: string;
  readonly identity: string;
  readonly identityHttp: string;
  readonly meteringHttp: string;
  readonly authz: string;
  readonly metering: string;
  readonly authzProcess: ChildProcess;
  readonly meteringProcess: ChildProcess;
  readonly bus: string;
  /** Tags keys; and forges them. */
  readonly pepper: string;
  /** Of Postgres. */
  readonly databaseUrl: string;
  /** Starts another authz with a cache and a spool of its own, on the measured core unless others are given. */
  startReplica(
    name: string,
    own?: { readonly core: string; readonly environment: Record<string, string> },
  ): Promise<Replica>;
  /** A scratch folder, gone at the end. */
  readonly directory: string;
  stop(): Promise<void>;
}

export interface Replica {
  readonly address: string;
  readonly http: string;
  readonly child: ChildProcess;
}

/**
 * With `nats`, services ring the bell where a NATS server is installed; they follow by polling alone otherwise.
 * metering sits beside the load, unless it is what is measured.
 */
export async function deploy({ nats = false, meteringCore = OTHER_CORE } = {}): Promise<Deployment> {
  const directory = await mkdtemp(join(tmpdir(), "gatehouse-bench-"));
  const postgres = await startPostgres({ directory: join(directory, "postgres") });
  const natsPath = nats ? await findNatsServer() : undefined;
  const bus = natsPath === undefined ? undefined : await startNatsServer(natsPath);
  const [identity, identityHttp, authz, authzHttp, metering, meteringHttp] = await Promise.all(
    Array.from({ length: 6 }, async () => `127.0.0.1:${await freePort()}`),
  );
  const pepper = newPepper("1");
  const environment: Record<string, string> = {
    GATEHOUSE_DATABASE_URL: postgres.url,
    GATEHOUSE_SERVICE_SECRET: serviceSecret,
    GATEHOUSE_PEPPERS: pepper,
    GATEHOUSE_ENCRYPTION_KEYS: newEncryptionKey("1"),
    GATEHOUSE_DATA_DIRECTORY: directory,
    GATEHOUSE_SPOOL_DIR: join(directory, "spool"),
    GATEHOUSE_IDENTITY_GRPC: identity!,
    GATEHOUSE_IDENTITY_HTTP: identityHttp!,
    GATEHOUSE_AUTHZ_GRPC: authz!,
    GATEHOUSE_AUTHZ_HTTP: authzHttp!,
    GATEHOUSE_METERING_GRPC: metering!,
    GATEHOUSE_METERING_HTTP: meteringHttp!,
    GATEHOUSE_IDENTITY_ADDRESS: identity!,
    GATEHOUSE_METERING_ADDRESS: metering!,
    GATEHOUSE_LOG_LEVEL: "error",
    ...(bus !== undefined && { GATEHOUSE_NATS_URL: bus.url }),
  };
  const processes: ChildProcess[] = [];
  const serve = async (name: string, http: string, core: string, own: Record<string, string> = {}) => {
    const flags = name === "identity" ? [] : YOUNG_FLAGS;
    const child = start(core, [...flags, fromRoot(`services/${name}/src/main.ts`)], {
      ...environment,
      ...own,
    });
    processes.unshift(child);
    await untilReady(name, http);
    return child;
  };
  await serve("identity", identityHttp!, OTHER_CORE);
  const meteringProcess = await serve("metering", meteringHttp!, meteringCore);
  const authzProcess = await serve("authz", authzHttp!, MEASURED_CORE);
  return {
    rootKey: (await readFile(join(directory, "root.key"), "utf8")).trim(),
    identity: identity!,
    identityHttp: identityHttp!,
    meteringHttp: meteringHttp!,
    authz: authz!,
    metering: metering!,
    authzProcess,
    meteringProcess,
    bus: bus === undefined ? "none" : "NATS",
    pepper,
    databaseUrl: postgres.url,
    directory,
    async startReplica(replica, own = { core: MEASURED_CORE, environment: {} }) {
      const [address, http] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
      const child = await serve("authz", http, own.core, {
        ...own.environment,
        GATEHOUSE_AUTHZ_GRPC: address,
        GATEHOUSE_AUTHZ_HTTP: http,
        GATEHOUSE_SPOOL_DIR: join(directory, `spool-${replica}`),
        GATEHOUSE_PRODUCER: `bench-${replica}`,
      });
      return { address, http, child };
    },
    async stop() {
      for (const child of processes) await end(child);
      await bus?.stop();
      await discardPostgres(postgres);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Starts a server that prints its port; on the measured core unless another is given. */
export async function startMeasured(
  args: string[],
  core = MEASURED_CORE,
): Promise<{ child: ChildProcess; address: string }> {
  const child = start(core, args, {});
  const [port] = (await once(createInterface(child.stdout!), "line")) as [string];
  return { child, address: `127.0.0.1:${port}` };
}

/** Runs a program beside the measured one; answers what it printed. */
export async function runBeside(args: string[]): Promise<string> {
  const child = start(OTHER_CORE, args, {});
  const [text] = await Promise.all([child.stdout!.toArray(), once(child, "exit")]);
  return Buffer.concat(text).toString();
}

export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGTERM");
  await once(child, "exit");
}

/** How many calls of an RPC a service has answered, whatever with, by its /metrics. */
export function rpcCounts(http: string, method: string): Promise<number> {
  return rpcSum("gatehouse_rpc_requests_total", http, method);
}

/** How many seconds a service took for all calls of an RPC together. */
export function rpcSeconds(http: string, method: string): Promise<number> {
  return rpcSum("gatehouse_rpc_duration_seconds_sum", http, method);
}

async function rpcSum(metric: string, http: string, method: string): Promise<number> {
  const text = await (await fetch(`http://${http}/metrics`)).text();
  const lines = text.split("\n").filter((line) => line.startsWith(`${metric}{`));
  const counted = lines.filter((line) => line.includes(`/${method}"`));
  return counted.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
}

/** Megabytes of memory that a process holds. */
export async function residentMegabytes(child: ChildProcess): Promise<number> {
  const status = await readFile(`/proc/${child.pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}

/** Seconds of processor time that a process has used; Linux says so in /proc, in hundredths. */
export function cpuSeconds(child: ChildProcess): Promise<number> {
  return cpuSecondsOf(child.pid!);
}

export async function cpuSecondsOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** A path from the root of the repository. */
export function fromRoot(path: string): string {
  return fileURLToPath(new URL(`../../${path}`, import.meta.url));
}

/** Starts a program on a core. */
export function start(core: string, args: string[], environment: Record<string, string>): ChildProcess {
  const pinned = availableParallelism() > 1 ? ["taskset", "-c", core, process.execPath] : [process.execPath];
  const [program, ...rest] = [...pinned, ...args];
  const env = { ...process.env, ...environment };
  return spawn(program!, rest, { env, stdio: ["ignore", "pipe", "inherit"] });
}

/** Waits until a service says that it can work. */
export async function untilReady(name: string, http: string): Promise<void> {
  for (const untilMs = Date.now() + READY_MS; Date.now() < untilMs; await sleep(50)) {
    const response = await fetch(`http://${http}/readyz`).catch(() => undefined);
    if (response?.ok) return;
  }
  throw new Error(`${name} was not ready within ${READY_MS} ms`);
}
