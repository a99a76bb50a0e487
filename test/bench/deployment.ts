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
import { discardPostgres, freePort, startPostgres } from "@gatehouse/stack";

/** The core of what is measured; everything else runs on the other. */
export const MEASURED_CORE = "0";
const OTHER_CORE = "1";
const READY_MS = 30_000;
export const serviceSecret = "a secret that the services of a benchmark share";

export interface Deployment {
  readonly rootKey: string;
  readonly identity: string;
  readonly authz: string;
  readonly metering: string;
  readonly authzProcess: ChildProcess;
  /** A scratch folder, gone at the end. */
  readonly directory: string;
  stop(): Promise<void>;
}

export async function deploy(): Promise<Deployment> {
  const directory = await mkdtemp(join(tmpdir(), "gatehouse-bench-"));
  const postgres = await startPostgres({ directory: join(directory, "postgres") });
  const [identity, identityHttp, authz, authzHttp, metering, meteringHttp] = await Promise.all(
    Array.from({ length: 6 }, async () => `127.0.0.1:${await freePort()}`),
  );
  const environment = {
    GATEHOUSE_DATABASE_URL: postgres.url,
    GATEHOUSE_SERVICE_SECRET: serviceSecret,
    GATEHOUSE_PEPPERS: newPepper("1"),
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
  };
  const processes: ChildProcess[] = [];
  const serve = async (name: string, http: string, core: string) => {
    const child = start(core, [fromRoot(`services/${name}/src/main.ts`)], environment);
    processes.unshift(child);
    await untilReady(name, http);
    return child;
  };
  await serve("identity", identityHttp!, OTHER_CORE);
  await serve("metering", meteringHttp!, OTHER_CORE);
  const authzProcess = await serve("authz", authzHttp!, MEASURED_CORE);
  return {
    rootKey: (await readFile(join(directory, "root.key"), "utf8")).trim(),
    identity: identity!,
    authz: authz!,
    metering: metering!,
    authzProcess,
    directory,
    async stop() {
      for (const child of processes) await end(child);
      await discardPostgres(postgres);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Starts a server that prints its port on the measured core. */
export async function startMeasured(args: string[]): Promise<{ child: ChildProcess; address: string }> {
  const child = start(MEASURED_CORE, args, {});
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

/** Seconds of processor time that a process has used; Linux says so in /proc, in hundredths. */
export async function cpuSeconds(child: ChildProcess): Promise<number> {
  const stat = await readFile(`/proc/${child.pid}/stat`, "utf8");
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
