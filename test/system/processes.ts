import { readdir, readFile } from "node:fs/promises";

/**
 * The processes that were started with a variable of this value, by whomever: a child inherits its parent's
 * environment, and keeps it when its parent is gone. Linux only.
 */
export async function processesWith(name: string, value: string): Promise<readonly number[]> {
  const pids = (await readdir("/proc")).filter((entry) => /^\d+$/.test(entry)).map(Number);
  const found = await Promise.all(pids.map((pid) => hasVariable(pid, `${name}=${value}`)));
  return pids.filter((_, i) => found[i]);
}

async function hasVariable(pid: number, variable: string): Promise<boolean> {
  const environment = await readFile(`/proc/${pid}/environ`, "utf8").catch(() => "");
  return environment.split("\0").includes(variable);
}
