import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Window } from "@gatehouse/proto/metering";
import { freePort } from "@gatehouse/stack";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Caller, callerOf, timely } from "../system/caller.ts";
import { measured } from "../system/measured.ts";
import { processesWith } from "../system/processes.ts";
import { until } from "../system/until.ts";
import { ask, countCodes } from "../system/verifying.ts";
import { arrivedUsage, bucketOf } from "./books.ts";

/** `npm start`, at ports of its own. */
const MAIN = join(import.meta.dirname, "../../packages/stack/src/main.ts");
const STOP_MS = 5000;
const N = 50;

const SERVICES = ["IDENTITY", "METERING", "AUTHZ"];

let directory: string;
let variables: Record<string, string>;
let child: ChildProcess | undefined;
let output = "";

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "gatehouse-start-"));
  await chmod(directory, 0o755);
  const names = SERVICES.flatMap((service) => [`GATEHOUSE_${service}_GRPC`, `GATEHOUSE_${service}_HTTP`]);
  const ports = await Promise.all(names.map(freePort));
  variables = Object.fromEntries(names.map((name, i) => [name, `127.0.0.1:${ports[i]}`]));
});

afterAll(async () => {
  child?.kill("SIGKILL");
  // Nothing is left but where a test failed.
  for (const pid of await started()) process.kill(pid, "SIGKILL");
  await rm(directory, { recursive: true, force: true });
});

function at(service: string, side: "GRPC" | "HTTP"): string {
  return variables[`GATEHOUSE_${service}_${side}`]!;
}

function started(): Promise<readonly number[]> {
  return processesWith("GATEHOUSE_DATA_DIRECTORY", directory);
}

/** Starts one that may fail, and collects what it prints. */
function run(environment: Record<string, string> = {}, detached = false): ChildProcess {
  output = "";
  const running = spawn(process.execPath, [MAIN], {
    env: { PATH: process.env.PATH, GATEHOUSE_DATA_DIRECTORY: directory, ...variables, ...environment },
    stdio: ["ignore", "pipe", "pipe"],
    detached,
  });
  for (const stream of [running.stdout!, running.stderr!]) stream.on("data", (text) => (output += text));
  return running;
}

async function start(): Promise<Caller> {
  child = run();
  await until("npm start is ready", async () => {
    if (child!.exitCode !== null) throw new Error(`it ended:\n${output}`);
    const answers = SERVICES.map((service) => fetch(`http://${at(service, "HTTP")}/readyz`));
    return (await Promise.all(answers)).every(({ ok }) => ok);
  });
  const [identity, metering, authz] = SERVICES.map((service) => at(service, "GRPC"));
  const rootKey = (await readFile(join(directory, "root.key"), "utf8")).trim();
  return callerOf(rootKey, { identity: identity!, metering: metering!, authz: [authz!] });
}

/** As the terminal does; answers how long everything took to end. */
async function interrupt(): Promise<number> {
  const beganMs = performance.now();
  child!.kill("SIGINT");
  const [code] = child!.exitCode === null ? await once(child!, "exit") : [child!.exitCode];
  await until("every process is gone", async () => (await started()).length === 0, STOP_MS);
  expect({ code, output }).toMatchObject({ code: 0 });
  return performance.now() - beganMs;
}

test("Ctrl-C stops npm start within five seconds, leaves nothing running, and loses nothing", async () => {
  const root = await start();
  const { account, secret } = await root.accounts.createAccount({ name: "Kept" }, timely);
  const { id } = account!;
  const node = { case: "account", value: id } as const;
  const allowance = { case: "quota", value: { units: 1000n, window: Window.NEVER } } as const;
  const { limit } = await root.limits.setLimit({ node, allowance }, timely);
  const answers = await Promise.all(Array.from({ length: N }, () => ask(root, 0, { key: secret })));
  expect(countCodes(answers)).toEqual({ VALID: N });
  // Postgres and, where there is one, NATS beside the stack itself.
  const running = await started();
  expect(running.length).toBeGreaterThan(2);
  const stoppedMs = await interrupt();
  root.close();

  const again = await start();
  expect((await again.accounts.getAccount({ account: id }, timely)).account).toEqual(account);
  expect((await again.limits.listLimits({ node }, timely)).limits).toEqual([limit]);
  const usage = await arrivedUsage(again, id, N);
  expect(usage.get(id)).toBe(N);
  expect(await bucketOf(again, id)).toEqual({ used: N, leased: 0, remaining: 1000 - N });
  expect((await ask(again, 0, { key: secret })).code).toBe("VALID");
  const stoppedAgainMs = await interrupt();
  again.close();
  measured("Ctrl-C", {
    processes: running.length,
    "stopped in ms": stoppedMs,
    "and again in ms": stoppedAgainMs,
  });
  expect(Math.max(stoppedMs, stoppedAgainMs)).toBeLessThan(STOP_MS);
}, 120_000);

/** Its exit code, and what it printed. */
async function end(running: ChildProcess): Promise<{ code: number | null; output: string }> {
  await once(running, "close");
  return { code: running.exitCode, output };
}

test("a second npm start in a directory that is in use ends with one line, and harms nothing", async () => {
  const root = await start();
  expect(await end(run())).toEqual({ code: 1, output: `${directory} is in use by another npm start\n` });
  // Written to the Postgres of the first.
  await root.accounts.createAccount({ name: "Unharmed" }, timely);
  output = "";
  await interrupt();
  root.close();
}, 60_000);

test("a taken port ends npm start before anything is made, with one line that says how to choose another", async () => {
  const holder = createServer().listen(0, "127.0.0.1");
  await once(holder, "listening");
  const taken = `127.0.0.1:${(holder.address() as AddressInfo).port}`;
  const fresh = join(directory, "fresh");
  const second = run({ GATEHOUSE_DATA_DIRECTORY: fresh, GATEHOUSE_AUTHZ_HTTP: taken });
  const line = `${taken} is taken; GATEHOUSE_AUTHZ_HTTP=host:port chooses another\n`;
  expect(await end(second)).toEqual({ code: 1, output: line });
  expect(await readdir(fresh)).toEqual(["lock.db"]);
  holder.close();
});

test("a Ctrl-C while the database is being made ends quietly, leaves nothing running, and spoils no later start", async () => {
  const made = directory;
  try {
    directory = join(made, "interrupted");
    // A group of its own, as the terminal makes one: its Ctrl-C reaches initdb, too.
    child = run({}, true);
    await until("initdb is at work", async () =>
      (await readdir(join(directory, "postgres"))).includes("base"),
    );
    process.kill(-child.pid!, "SIGINT");
    expect(await end(child)).toEqual({ code: 0, output: "\nSIGINT: stopping\n" });
    await until("every process is gone", async () => (await started()).length === 0, STOP_MS);
    const root = await start();
    expect(output).toContain(`root key   ${(await readFile(join(directory, "root.key"), "utf8")).trim()}`);
    await interrupt();
    root.close();
  } finally {
    directory = made;
  }
}, 60_000);

test("a setting of a service passes through npm start, and a wrong one ends it with one line", async () => {
  const wrong = run({ GATEHOUSE_STALENESS_MAX: "long" });
  const line = "the configuration is wrong:\n  GATEHOUSE_STALENESS_MAX must be from 0ms to 3600000ms\n";
  expect(await end(wrong)).toEqual({ code: 1, output: line });
});
