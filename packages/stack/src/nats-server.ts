import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { access, constants } from "node:fs/promises";
import { connect } from "node:net";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { freePort } from "./free-port.ts";

export interface NatsServer {
  readonly url: string;
  readonly port: number;
  readonly process: ChildProcess;
  stop(): Promise<void>;
}

/** Debian installs servers outside a user's PATH, Go in the home directory. */
const FURTHER_PLACES = ["/usr/sbin", "/usr/local/sbin", join(homedir(), "go/bin")];
const START_MS = 5000;

/** The path of a `nats-server`; undefined if there is none. */
export async function findNatsServer(): Promise<string | undefined> {
  const places = [...(process.env.PATH ?? "").split(delimiter), ...FURTHER_PLACES];
  for (const place of places) {
    const path = join(place, "nats-server");
    const isThere = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isThere) return path;
  }
  return undefined;
}

/** Starts one on loopback; on a free port, if none is given. */
export async function startNatsServer(path: string, port?: number): Promise<NatsServer> {
  const on = port ?? (await freePort());
  const server = spawn(path, ["-a", "127.0.0.1", "-p", String(on)], { stdio: "ignore" });
  const failed = once(server, "error").then(([error]) => Promise.reject(error));
  await Promise.race([failed, untilListening(on)]);
  return {
    url: `nats://127.0.0.1:${on}`,
    port: on,
    process: server,
    async stop() {
      if (server.exitCode !== null || server.signalCode !== null) return;
      server.kill("SIGTERM");
      await once(server, "exit");
    },
  };
}

async function untilListening(port: number): Promise<void> {
  for (const untilMs = Date.now() + START_MS; Date.now() < untilMs; await pause(20)) {
    const socket = connect(port, "127.0.0.1");
    const isOpen = await once(socket, "connect").then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (isOpen) return;
  }
  throw new Error(`nats-server did not listen on port ${port} within ${START_MS} ms`);
}
