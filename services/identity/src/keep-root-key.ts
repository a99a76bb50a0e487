import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

/**
 * Writes a minted root key where only its owner reads it, and answers where. A file that is there may hold the
 * root key of another database, and this one is nowhere else: so it goes beside it.
 */
export async function keepRootKey(rootKey: string, directory: string): Promise<string> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, "root.key");
  try {
    await write(path, rootKey);
    return path;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    const beside = join(directory, `root-${Date.now()}.key`);
    await write(beside, rootKey);
    return beside;
  }
}

function write(path: string, rootKey: string): Promise<void> {
  return writeFile(path, `${rootKey}\n`, { mode: 0o600, flag: "wx" });
}
