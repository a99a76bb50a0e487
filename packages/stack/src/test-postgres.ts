import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startPostgres } from "./embedded-postgres.ts";

/** A Postgres of a test file's own. */
export interface TestPostgres {
  readonly url: string;
  /** Stops it and forgets what it held. */
  stop(): Promise<void>;
}

/** Starts an empty one. Nothing in it need survive, so it never waits for a disk. */
export async function startTestPostgres(): Promise<TestPostgres> {
  const directory = await mkdtemp(join(tmpdir(), "gatehouse-test-"));
  // Run by root, the server is a user of its own, who has to pass through here.
  await chmod(directory, 0o755);
  const postgres = await startPostgres({ directory: join(directory, "postgres"), settings: ["fsync=off"] });
  return {
    url: postgres.url,
    async stop() {
      await postgres.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
