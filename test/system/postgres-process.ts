import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type EmbeddedPostgres, startPostgres } from "@gatehouse/stack";
import { until } from "./until.ts";

/** It never waits for a disk: what crashes here is its processes, not the machine, which keeps what they wrote. */
const settings = ["fsync=off"];

/** The Postgres of a deployment, on one port for as long as a test lasts. */
export class PostgresProcess {
  readonly url: string;
  readonly #directory: string;
  #running: EmbeddedPostgres | undefined;

  private constructor(directory: string, running: EmbeddedPostgres) {
    this.#directory = directory;
    this.#running = running;
    this.url = running.url;
  }

  static async start(directory: string): Promise<PostgresProcess> {
    return new PostgresProcess(directory, await startPostgres({ directory, settings }));
  }

  /**
   * Ends all of its processes at once: they write nothing more, and tell nobody what became of what was under way.
   * Waits until they are gone.
   */
  async kill(): Promise<void> {
    const running = this.#running;
    if (running === undefined) return;
    this.#running = undefined;
    const lock = join(running.directory, "postmaster.pid");
    const [pid] = (await readFile(lock, "utf8")).split("\n");
    process.kill(Number(pid), "SIGQUIT");
    await until("Postgres has ended", () =>
      readFile(lock).then(
        () => false,
        () => true,
      ),
    );
  }

  /** Starts it again: it recovers from its log. */
  async start(): Promise<void> {
    if (this.#running !== undefined) throw new Error("Postgres is running");
    const port = Number(new URL(this.url).port);
    this.#running = await startPostgres({ directory: this.#directory, settings, port });
  }

  async stop(): Promise<void> {
    await this.#running?.stop();
  }
}
