import { once } from "node:events";
import { findNatsServer, type NatsServer, startNatsServer } from "@gatehouse/stack";

/** A nats-server of a test, on one port for as long as the test lasts. */
export class NatsProcess {
  readonly #path: string;
  #server: NatsServer;

  private constructor(path: string, server: NatsServer) {
    this.#path = path;
    this.#server = server;
  }

  static async start(): Promise<NatsProcess> {
    const path = await findNatsServer();
    if (path === undefined) throw new Error("no nats-server on the PATH: `npm run pretest` installs one");
    return new NatsProcess(path, await startNatsServer(path));
  }

  get port(): number {
    return this.#server.port;
  }

  /** Ends it at once, as a crash does. */
  async kill(): Promise<void> {
    const { process } = this.#server;
    if (process.exitCode !== null || process.signalCode !== null) return;
    const gone = once(process, "exit");
    process.kill("SIGKILL");
    await gone;
  }

  async restart(): Promise<void> {
    await this.kill();
    this.#server = await startNatsServer(this.#path, this.port);
  }

  async stop(): Promise<void> {
    await this.#server.stop();
  }
}
