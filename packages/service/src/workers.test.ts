import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { AuthzService } from "@gatehouse/proto/authz";
import { afterEach, describe, expect, it, vi } from "vitest";
import { type GrpcClient, grpcClient } from "./client-grpc.ts";

const PROGRAM = join(import.meta.dirname, "testing/worker-program.ts");
const patiently = { timeout: 15_000, interval: 20 };
const timely = { timeoutMs: 5000 };
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

interface Line {
  readonly msg: string;
  readonly worker?: number;
  readonly pid?: number;
  readonly why?: string;
  readonly grpc?: string;
  readonly http?: string;
}

class Program {
  readonly lines: Line[] = [];
  readonly process: ChildProcess;
  readonly gone: Promise<unknown[]>;

  constructor(...args: readonly number[]) {
    this.process = spawn(process.execPath, [PROGRAM, ...args.map(String)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.gone = once(this.process, "exit");
    createInterface({ input: this.process.stdout! }).on("line", (line) => this.lines.push(JSON.parse(line)));
    closing.push(() => this.end());
  }

  said(message: string): Line[] {
    return this.lines.filter(({ msg }) => msg === message);
  }

  async serving(count: number): Promise<void> {
    await vi.waitFor(() => expect(this.said("serving").length).toBeGreaterThanOrEqual(count), patiently);
  }

  get grpc(): string {
    return this.said("listening")[0]!.grpc!;
  }

  get http(): string {
    return `http://${this.said("listening")[0]!.http}`;
  }

  /** A connection of its own. */
  client(): GrpcClient<typeof AuthzService> {
    const client = grpcClient(AuthzService, this.grpc);
    closing.push(() => client.close());
    return client;
  }

  // What a test left behind, by the ids that it told.
  async end(): Promise<void> {
    this.process.kill("SIGKILL");
    for (const { pid } of this.said("serving")) {
      try {
        process.kill(pid!, "SIGKILL");
      } catch {
        // It has ended.
      }
    }
    if (this.process.exitCode === null && this.process.signalCode === null) await this.gone;
  }
}

async function start(...args: readonly number[]): Promise<Program> {
  const program = new Program(...args);
  await program.serving(args[0]!);
  return program;
}

/** Which workers answered, by how many of the connections. */
async function spread(program: Program, connections: number): Promise<Record<string, number>> {
  const answers = await Promise.all(
    Array.from({ length: connections }, () => program.client().verify({}, timely)),
  );
  const counts: Record<string, number> = {};
  for (const { keyId } of answers) counts[keyId] = (counts[keyId] ?? 0) + 1;
  return counts;
}

/** A call that a worker has and never answers; `lost` is when its connection was. */
async function stuckCall(program: Program): Promise<{ readonly lost: Promise<unknown> }> {
  const client = program.client();
  await client.verify({}, timely);
  const lost = expect(client.batchVerify({}, { timeoutMs: 20_000 })).rejects.toMatchObject({
    code: "UNAVAILABLE",
  });
  await client.verify({}, timely); // sent after it on the same connection
  return { lost };
}

const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

describe("workers", { timeout: 40_000 }, () => {
  it("share both ports, and connections are dealt to them in turn", async () => {
    const program = await start(3);
    expect(new Set(program.said("listening").map(({ grpc, http }) => `${grpc} ${http}`)).size).toBe(1);
    // One after the other: a worker that has not taken its last one yet is passed over.
    const takers: string[] = [];
    for (let i = 0; i < 9; i++) takers.push(...Object.keys(await spread(program, 1)));
    expect(takers.slice(0, 3).sort()).toEqual(["1", "2", "3"]);
    expect(takers).toEqual([...takers.slice(6), ...takers.slice(0, 6)]);
  });

  it("show each other's metrics, whichever is asked", async () => {
    const program = await start(2);
    await spread(program, 6);
    for (let i = 0; i < 4; i++) {
      const text = await (
        await fetch(`${program.http}/metrics`, { headers: { connection: "close" } })
      ).text();
      expect(text).toMatch(/gatehouse_rpc_requests_total\{method="[^"]+Verify",code="OK",[^}]+\} 6\n/);
      expect(text).toMatch(/gatehouse_rpc_duration_seconds_count\{method="[^"]+Verify",[^}]+\} 6\n/);
      expect(text).toMatch(/process_start_time_seconds\{service="worker-program"\} \d+/);
    }
  });

  it("fail a scrape rather than leave out a worker that does not answer", async () => {
    const program = await start(2);
    const [first] = program.said("serving");
    process.kill(first!.pid!, "SIGSTOP");
    const scrapes = Array.from({ length: 4 }, async () => {
      const options = { headers: { connection: "close" }, signal: AbortSignal.timeout(9000) };
      return (await fetch(`${program.http}/metrics`, options)).status;
    });
    const settled = await Promise.allSettled(scrapes);
    const statuses = settled.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
    // Those that were dealt to the one that stands still are not answered at all.
    expect(new Set(statuses)).toEqual(new Set([500]));
  });

  it("that die are started again with their number, while the others go on", async () => {
    const program = await start(2);
    const clients = Array.from({ length: 8 }, () => program.client());
    const answers = await Promise.all(clients.map((client) => client.verify({}, timely)));
    const [first] = answers;
    process.kill(Number(first!.keyName), "SIGKILL");
    const others = clients.filter((_, i) => answers[i]!.keyId !== first!.keyId);
    expect(others.length).toBeGreaterThan(0);
    for (const other of others) expect((await other.verify({}, timely)).keyId).not.toBe(first!.keyId);
    await program.serving(3);
    expect(program.said("serving")[2]!.worker).toBe(Number(first!.keyId));
    await vi.waitFor(
      async () => expect(Object.keys(await spread(program, 4))).toEqual(["1", "2"]),
      patiently,
    );
    expect(await (await fetch(`${program.http}/metrics`)).text()).toContain("gatehouse_rpc_requests_total");
  });

  it("that stand still are killed, and started again", async () => {
    const program = await start(2, 100, 250);
    const [first] = program.said("serving");
    process.kill(first!.pid!, "SIGSTOP");
    await program.serving(3);
    expect(program.said("a worker stands still, and is killed")).toMatchObject([{ worker: first!.worker }]);
    expect(program.said("serving")[2]!.worker).toBe(first!.worker);
  });

  it("that die leave no connection behind that they had not taken yet", async () => {
    const program = await start(2);
    const [first] = program.said("serving");
    process.kill(first!.pid!, "SIGSTOP");
    const port = Number(program.http.split(":")[2]);
    const sockets = Array.from({ length: 6 }, () => connect({ port, host: "127.0.0.1" }));
    closing.push(() => {
      for (const socket of sockets) socket.destroy();
    });
    const answered = new Set<Socket>();
    const closed = new Set<Socket>();
    for (const socket of sockets) {
      socket.on("error", () => {}).on("close", () => closed.add(socket));
      socket.on("data", () => answered.add(socket));
      socket.write("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n");
    }
    // One is dealt to the worker that stands still, and then no more.
    await vi.waitFor(() => expect(answered.size).toBe(5), patiently);
    expect(closed.size).toBe(0);
    process.kill(first!.pid!, "SIGKILL");
    await vi.waitFor(() => expect(closed.size).toBe(1), patiently);
    expect([...closed].some((socket) => answered.has(socket))).toBe(false);
  });

  it("all end when the primary is told to, with what they have in flight cut after the grace", async () => {
    const program = await start(2);
    const stuck = await Promise.all(Array.from({ length: 4 }, () => stuckCall(program)));
    const cut = Promise.all(stuck.map(({ lost }) => lost));
    program.process.kill("SIGTERM");
    expect(await program.gone).toEqual([0, null]);
    await cut;
    expect(program.said("closing").map(({ why }) => why)).toContain("the primary says so");
    expect(program.said("serving").some(({ pid }) => isAlive(pid!))).toBe(false);
    expect(program.said("a worker did not end in order")).toEqual([]);
  });

  it("all end at once when the primary is told a second time", async () => {
    const program = await start(2);
    const { lost } = await stuckCall(program);
    program.process.kill("SIGTERM");
    await vi.waitFor(() => expect(program.said("closing").length).toBeGreaterThan(0), patiently);
    program.process.kill("SIGTERM");
    expect(await program.gone).toEqual([null, "SIGTERM"]);
    await lost;
    await vi.waitFor(
      () => expect(program.said("serving").some(({ pid }) => isAlive(pid!))).toBe(false),
      patiently,
    );
  });

  it("finish what they have and end when the primary is gone", async () => {
    const program = await start(2);
    const { lost } = await stuckCall(program);
    program.process.kill("SIGKILL");
    await lost;
    await vi.waitFor(
      () => expect(program.said("serving").some(({ pid }) => isAlive(pid!))).toBe(false),
      patiently,
    );
    expect(program.said("closing").map(({ why }) => why)).toEqual(Array(2).fill("the primary is gone"));
  });

  it("close connections that none of them has room for", async () => {
    const program = await start(2, 1);
    const port = Number(program.http.split(":")[2]);
    const sockets = Array.from({ length: 5 }, () =>
      connect({ port, host: "127.0.0.1" }).on("error", () => {}),
    );
    closing.push(() => {
      for (const socket of sockets) socket.destroy();
    });
    await vi.waitFor(() => expect(sockets.filter(({ closed }) => closed)).toHaveLength(3), patiently);
  });

  it("are none where one is asked for: the process does the work itself", async () => {
    const program = await start(1);
    expect(await spread(program, 3)).toEqual({ 1: 3 });
    expect(program.said("serving")[0]!.pid).toBe(program.process.pid);
    program.process.kill("SIGTERM");
    expect(await program.gone).toEqual([0, null]);
  });
});
