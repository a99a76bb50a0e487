import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { get } from "node:https";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { until } from "./until.ts";

export interface ServiceProcessOptions {
  readonly name: string;
  /** The program: a TypeScript file. */
  readonly main: string;
  /** Names the variables of the addresses: `AUTHZ` in GATEHOUSE_AUTHZ_GRPC. */
  readonly addressName: "IDENTITY" | "METERING" | "AUTHZ";
  readonly environment: Readonly<Record<string, string>>;
}

/** What began to listen: the only process of a service, or one of its workers. */
export interface Listening {
  /** Undefined where there are none. */
  readonly worker?: number;
  readonly pid: number;
}

/** Lines kept for a failed test. */
const MAX_LOG_LINES = 300;
/** Longer than any service's own grace. */
const STOP_MS = 20_000;
const READY_MS = 60_000;
/** Compiling what they import is half of what services need of a processor to start, and they start hundreds of times. */
const COMPILE_CACHE = join(import.meta.dirname, "../../node_modules/.cache/compile");

/** One service as an operating system runs it. It keeps its ports when it is started again. */
export class ServiceProcess {
  readonly name: string;
  readonly #options: ServiceProcessOptions;
  readonly #log: string[] = [];
  #child: ChildProcess | undefined;
  /** Of how many starts the output is still held: workers may outlive the process that was started. */
  #open = 0;
  #listening = new Map<number | undefined, Listening>();
  #ports: { readonly grpc: number; readonly http: number } | undefined;

  constructor(options: ServiceProcessOptions) {
    this.name = options.name;
    this.#options = options;
  }

  get log(): readonly string[] {
    return this.#log;
  }

  /** `host:port`; known once it was started. */
  get grpcAddress(): string {
    return `127.0.0.1:${this.#known().grpc}`;
  }

  get httpAddress(): string {
    return `127.0.0.1:${this.#known().http}`;
  }

  /** Undefined before the first start. */
  get grpcPort(): number | undefined {
    return this.#ports?.grpc;
  }

  /** What has begun to listen since it was started; of a worker that was started again, only that. */
  get listening(): readonly Listening[] {
    return [...this.#listening.values()];
  }

  /** Starts it and waits until /readyz says that it can work, and all of its workers listen. */
  async start(): Promise<void> {
    if (this.#isRunning) throw new Error(`${this.name} is running`);
    const { addressName, main, environment } = this.#options;
    const { grpc = 0, http = 0 } = this.#ports ?? {};
    const child = spawn(process.execPath, [main], {
      // Nothing of what the developer has set: only what the deployment says.
      env: {
        PATH: process.env.PATH,
        NODE_COMPILE_CACHE: COMPILE_CACHE,
        ...environment,
        [`GATEHOUSE_${addressName}_GRPC`]: `127.0.0.1:${grpc}`,
        [`GATEHOUSE_${addressName}_HTTP`]: `127.0.0.1:${http}`,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    const listening = new Map<number | undefined, Listening>();
    this.#listening = listening;
    const killed = () => child.kill("SIGKILL");
    process.once("exit", killed);
    child.once("exit", () => process.off("exit", killed));
    this.#open++;
    child.once("close", () => this.#open--);
    for (const stream of [child.stdout!, child.stderr!]) {
      createInterface({ input: stream }).on("line", (line) => this.#note(line, listening));
    }
    const ready = until(`${this.name} is ready`, () => this.#isReady(), READY_MS);
    const ended = once(child, "exit").then(() => {
      throw new Error(`${this.name} ended:\n${this.#log.join("\n")}`);
    });
    ended.catch(() => {}); // in its own time it is to end
    await Promise.race([ready, ended]);
  }

  /** Ends it at once, as a crash does, and waits until it is gone. Workers end in their own time. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Ends it as an orderly deployment does; by force where it takes too long. Waits for its workers, too. */
  async stop(): Promise<void> {
    const force = setTimeout(() => this.#child?.kill("SIGKILL"), STOP_MS);
    await this.#end("SIGTERM");
    clearTimeout(force);
    await until(`all processes of ${this.name} have ended`, () => this.#open === 0, STOP_MS);
  }

  /** Waits until it has ended by itself. */
  async ended(): Promise<void> {
    await until(`${this.name} has ended`, () => !this.#isRunning, READY_MS);
  }

  async restart(): Promise<void> {
    await this.kill();
    await this.start();
  }

  /** SIGSTOP: it stands still and notices nothing. */
  pause(): void {
    this.#child?.kill("SIGSTOP");
  }

  resume(): void {
    this.#child?.kill("SIGCONT");
  }

  get #isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  async #end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    if (!this.#isRunning) return;
    const gone = once(this.#child!, "exit");
    this.#child!.kill("SIGCONT");
    this.#child!.kill(signal);
    await gone;
    this.#log.push(`— ended by ${signal} —`);
  }

  async #isReady(): Promise<boolean> {
    // The first worker that listens answers for all, who are no part of it yet.
    if (this.#listening.size < Number(this.#options.environment.GATEHOUSE_WORKERS ?? 1)) return false;
    if (this.#options.environment.GATEHOUSE_TLS_CERT) return isReadyOverTls(this.httpAddress);
    return (await fetch(`http://${this.httpAddress}/readyz`)).ok;
  }

  #known() {
    if (this.#ports === undefined) throw new Error(`${this.name} was not started`);
    return this.#ports;
  }

  #note(line: string, listening: Map<number | undefined, Listening>): void {
    this.#log.push(withoutStack(line));
    if (this.#log.length > MAX_LOG_LINES) this.#log.shift();
    if (!line.includes('"listening"')) return;
    const { grpc, http, ...began } = JSON.parse(line) as Listening & { grpc: string; http: string };
    listening.set(began.worker, began);
    // The first start takes any ports: those that were probed for and given up may be taken by then.
    this.#ports ??= { grpc: portOf(grpc), http: portOf(http) };
  }
}

// Whose certificate it shows is for the tests to look at.
async function isReadyOverTls(address: string): Promise<boolean> {
  const request = get(`https://${address}/readyz`, { rejectUnauthorized: false, agent: false });
  const [response] = (await once(request, "response")) as [IncomingMessage];
  response.resume();
  return response.statusCode === 200;
}

function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(":") + 1));
}

// What is printed for a failed test is read by a person: the stack of each failed poll is not.
function withoutStack(line: string): string {
  return line.replace(/,"stack":"(?:[^"\\]|\\.)*"/g, "");
}
