import { once } from "node:events";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { anyPorts, startStack } from "@gatehouse/stack";
import { expect, test } from "vitest";

const CONNECTIONS = 10;

test("the stack holds its services to the bounds that it is told of", async () => {
  const directory = await mkdtemp(join(tmpdir(), "gatehouse-stack-"));
  // Postgres may run as another user, who must pass through.
  await chmod(directory, 0o755);
  const stack = await startStack({
    directory,
    ports: anyPorts,
    logLevel: "silent",
    postgresSettings: ["fsync=off"],
    environment: { GATEHOUSE_MAX_CONNECTIONS: String(CONNECTIONS) },
  });
  const sockets: Socket[] = [];
  try {
    const { identity, metering, authz } = stack;
    for (const { httpAddress } of [identity, metering, authz]) {
      const taken = await Promise.all(
        Array.from({ length: CONNECTIONS }, () => connected(httpAddress, sockets)),
      );
      const beyond = await connected(httpAddress, sockets);
      await once(beyond.resume(), "close");
      expect(taken.every(({ closed }) => !closed)).toBe(true);
    }
  } finally {
    for (const socket of sockets) socket.destroy();
    await stack.close();
    await rm(directory, { recursive: true, force: true });
  }
}, 60_000);

async function connected(address: string, sockets: Socket[]): Promise<Socket> {
  const { hostname, port } = new URL(`http://${address}`);
  const socket = connect(Number(port), hostname).on("error", () => {});
  sockets.push(socket);
  await once(socket, "connect");
  return socket;
}
