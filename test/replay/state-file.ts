import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { ReplayError } from "./trace.ts";

/** What one run leaves for the next: a key's secret is shown once, so it is kept. */
export interface ReplayState {
  readonly organizationId: string;
  readonly masterKey: string;
}

/** Undefined where there is no such file. */
export async function readState(path: string): Promise<ReplayState | undefined> {
  try {
    const { organizationId, masterKey } = JSON.parse(await readFile(path, "utf8"));
    if (typeof organizationId === "string" && typeof masterKey === "string") {
      return { organizationId, masterKey };
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
  }
  throw new ReplayError(`${path} is no state of a replay; move it away, or name another by --state`);
}

/** Writes it for its owner alone, whole or not at all. */
export async function writeState(path: string, state: ReplayState): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const fresh = `${path}.${process.pid}`;
  await writeFile(fresh, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600, flag: "wx" });
  await rename(fresh, path);
}
