import { open, rename } from "node:fs/promises";
import { dirname } from "node:path";

/** The ending of files that are being written; what a crash leaves of them means nothing. */
export const TEMPORARY = ".tmp";

/** Writes a file so that it is there whole or not at all; with `isDurable`, also after a power cut. */
export async function replaceFile(
  path: string,
  parts: readonly Uint8Array[],
  isDurable: boolean,
): Promise<void> {
  const file = await open(path + TEMPORARY, "w");
  try {
    for (const part of parts) {
      await file.writeFile(part);
    }
    if (isDurable) {
      await file.sync();
    }
  } finally {
    await file.close();
  }
  await rename(path + TEMPORARY, path);
  if (isDurable) {
    await syncDirectory(dirname(path));
  }
}

/** Makes the names in a directory survive a power cut. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
