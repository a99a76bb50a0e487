import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { cp, mkdir, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { promisify } from "node:util";
import type { PostgresBinaries } from "./postgres-binaries.ts";

const run = promisify(execFile);

/** Whom to run Postgres as. */
export interface ProcessUser {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Postgres refuses to run as root; root runs it as the system's user `postgres`, made if it is missing.
 * Undefined: this process may run it itself.
 */
export async function postgresUser(): Promise<ProcessUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  return idsOf("postgres").catch(async () => {
    await run("useradd", ["--system", "--user-group", "--no-create-home", "postgres"]);
    return idsOf("postgres");
  });
}

async function idsOf(user: string): Promise<ProcessUser> {
  const [uid, gid] = await Promise.all(
    ["-u", "-g"].map(async (what) => Number((await run("id", [what, user])).stdout)),
  );
  return { uid: uid!, gid: gid! };
}

/** Can everybody pass through to `path`? Root's home, where clones like to be, lets nobody through. */
export async function isOpenToAll(path: string): Promise<boolean> {
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    const mode = await stat(folder).then(
      (found) => found.mode,
      () => undefined,
    );
    if (mode !== undefined && (mode & 0o001) === 0) return false;
    if (folder === dirname(folder)) return true;
  }
}

/** The same programs where another user can reach them: in place if possible, else in a copy. */
export async function reachableBinaries(binaries: PostgresBinaries): Promise<PostgresBinaries> {
  if (await isOpenToAll(binaries.initdb)) return binaries;
  const copy = join(tmpdir(), `gatehouse-postgres-${digestOf(binaries.root)}`);
  await cp(binaries.root, copy, { recursive: true, verbatimSymlinks: true, force: true });
  const moved = (path: string) => join(copy, relative(binaries.root, path));
  return { initdb: moved(binaries.initdb), pgCtl: moved(binaries.pgCtl), root: copy };
}

/** Where a database of this folder goes if another user is to own it: here if possible, else under /var/lib. */
export async function reachableDirectory(directory: string): Promise<string> {
  if (await isOpenToAll(directory)) return directory;
  const elsewhere = join("/var/lib/gatehouse", digestOf(directory));
  await mkdir(dirname(elsewhere), { recursive: true, mode: 0o755 });
  return elsewhere;
}

function digestOf(path: string): string {
  return createHash("sha256").update(path).digest("hex").slice(0, 16);
}
