import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chown, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { freePort } from "./free-port.ts";
import { postgresBinaries } from "./postgres-binaries.ts";
import { postgresUser, reachableBinaries, reachableDirectory } from "./postgres-user.ts";

const execute = promisify(execFile);

export interface EmbeddedPostgresOptions {
  /** The database is kept here; made if missing. The caller has it to itself. */
  readonly directory: string;
  /** Settings such as `fsync=off`, for tests. */
  readonly settings?: readonly string[];
  /** On loopback. Default: a free one. */
  readonly port?: number | undefined;
  /** Ends the making of a new database; initdb takes away what it has made. */
  readonly signal?: AbortSignal | undefined;
}

export interface EmbeddedPostgres {
  /** A connection URL, with its password. */
  readonly url: string;
  /** Where the database really is. */
  readonly directory: string;
  stop(): Promise<void>;
}

/** Connections: three services with 16 each, twice over, and room for a person. */
const MAX_CONNECTIONS = 120;

/**
 * A Postgres of our own on a free port of loopback, from the programs in node_modules.
 *
 * pg_ctl starts it in a session of its own, so that the terminal's Ctrl-C reaches us and not it: it is stopped
 * last, when everything that uses it has closed. One that runs there already was left by a killed process, for the
 * directory is the caller's: it is stopped first, never adopted.
 */
export async function startPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const user = await postgresUser();
  const found = await postgresBinaries();
  const { initdb, pgCtl } = user === undefined ? found : await reachableBinaries(found);
  const parent = resolve(options.directory);
  const directory = user === undefined ? parent : await reachableDirectory(parent);
  // Its parents are nobody's in particular: made with the mode of the database they would lock its owner out.
  await mkdir(dirname(directory), { recursive: true });
  await mkdir(directory, { recursive: true, mode: 0o700 });
  if (user !== undefined) await chown(directory, user.uid, user.gid);
  const as = { ...user, cwd: "/", env: { ...process.env, LC_ALL: "C", TZ: "UTC" } };
  const control = (...args: string[]) => execute(pgCtl, ["-D", directory, "-w", "-t", "60", ...args], as);

  const password = await passwordOf(directory, user);
  if (!(await exists(join(directory, "PG_VERSION")))) {
    const flags = ["--username=gatehouse", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"];
    // Half of what it takes, for a database that is never to wait for a disk.
    if (options.settings?.includes("fsync=off")) flags.push("--no-sync");
    const pwfile = `--pwfile=${passwordPath(directory)}`;
    const making = execute(initdb, [`--pgdata=${directory}`, pwfile, ...flags, "--no-instructions"], as);
    const kill = () => making.child.kill();
    options.signal?.addEventListener("abort", kill);
    await making.finally(() => options.signal?.removeEventListener("abort", kill));
  }
  await control("stop", "-m", "fast").catch(() => {});
  const port = options.port ?? (await freePort());
  const settings = [
    "listen_addresses=127.0.0.1",
    `port=${port}`,
    "unix_socket_directories=",
    `max_connections=${MAX_CONNECTIONS}`,
    ...(options.settings ?? []),
  ];
  const log = join(directory, "server.log");
  try {
    await control("start", "-l", log, "-o", settings.map((setting) => `-c ${setting}`).join(" "));
  } catch (cause) {
    // It may be on its way up all the same: a Ctrl-C reaches pg_ctl, which then waits no longer.
    await control("stop", "-m", "fast").catch(() => {});
    throw new Error(`the embedded Postgres did not start; its log is ${log}`, { cause });
  }
  return {
    url: `postgres://gatehouse:${password}@127.0.0.1:${port}/postgres`,
    directory,
    stop: async () => {
      await control("stop", "-m", "fast");
    },
  };
}

/** Stops and forgets a database of a test. */
export async function discardPostgres(postgres: EmbeddedPostgres): Promise<void> {
  await postgres.stop();
  await rm(postgres.directory, { recursive: true, force: true });
}

// initdb wants an empty folder, so the password lies beside it.
function passwordPath(directory: string): string {
  return `${directory}.password`;
}

async function passwordOf(
  directory: string,
  user: { uid: number; gid: number } | undefined,
): Promise<string> {
  const path = passwordPath(directory);
  if (!(await exists(path))) {
    await writeFile(path, randomBytes(24).toString("hex"), { mode: 0o600, flag: "wx" });
    if (user !== undefined) await chown(path, user.uid, user.gid);
  }
  return (await readFile(path, "utf8")).trim();
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
