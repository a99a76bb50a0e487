import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readFile, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Window } from "@gatehouse/proto/metering";
import { defaultPorts } from "@gatehouse/stack";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Caller, callerOf, timely } from "../system/caller.ts";
import { measured } from "../system/measured.ts";
import { processesWith } from "../system/processes.ts";
import { until } from "../system/until.ts";
import { ask, countCodes } from "../system/verifying.ts";
import { arrivedUsage, bucketOf } from "./books.ts";

/** `npm start`, at the ports that it documents. */
const MAIN = join(import.meta.dirname, "../../packages/stack/src/main.ts");
const STOP_MS = 5000;
const N = 50;

let directory: string;
let child: ChildProcess | undefined;
let output = "";

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "gatehouse-start-"));
  await chmod(directory, 0o755);
});

afterAll(async () => {
  child?.kill("SIGKILL");
  // Nothing is left but where a test failed.
  for (const pid of await started()) process.kill(pid, "SIGKILL");
  await rm(directory, { recursive: true, force: true });
});

function started(): Promise<readonly number[]> {
  return processesWith("GATEHOUSE_DATA_DIRECTORY", directory);
}

async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  const answered = await once(socket, "connect").then(
    () => true,
    () => false,
  );
  socket.destroy();
  return answered;
}

async function start(): Promise<Caller> {
  const ports = Object.values(defaultPorts).flatMap(({ grpc, http }) => [grpc, http]);
  await until(`the documented ports are free: ${ports.join(", ")}`, async () => {
    const taken = await Promise.all(ports.map(isListening));
    return !taken.includes(true);
  });
  output = "";
  child = spawn(process.execPath, [MAIN], {
    env: { PATH: process.env.PATH, GATEHOUSE_DATA_DIRECTORY: directory },
    stdio: ["ignore", "pipe", "pipe"],
  });
  for (const stream of [child.stdout!, child.stderr!]) stream.on("data", (text) => (output += text));
  await until("npm start is ready", async () => {
    if (child!.exitCode !== null) throw new Error(`it ended:\n${output}`);
    const answers = Object.values(defaultPorts).map(({ http }) => fetch(`http://127.0.0.1:${http}/readyz`));
    return (await Promise.all(answers)).every(({ ok }) => ok);
  });
  const at = (service: keyof typeof defaultPorts) => `127.0.0.1:${defaultPorts[service].grpc}`;
  const rootKey = (await readFile(join(directory, "root.key"), "utf8")).trim();
  return callerOf(rootKey, { identity: at("identity"), metering: at("metering"), authz: [at("authz")] });
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
