/*
 * A root key is in the database as a hash only, so it must be in a file before the database knows it: a start that
 * is killed in between would leave a deployment that nobody can enter.
 *
 *   the first start   writes root.key.new, then secrets.json: a directory with secrets has had its key written
 *   while it exists   root.key.new is handed to identity, which takes it if it has no root yet
 *   once identity is  root.key.new becomes root.key
 */
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Bootstrapped, type IdentityConfig, keepRootKey } from "@gatehouse/identity";
import { KeyFormat } from "@gatehouse/keys";
import { readIfThere } from "./read-if-there.ts";

/** A root key as the first start shows it, and where it is kept. */
export interface KeptRootKey {
  readonly rootKey: string | undefined;
  readonly rootKeyPath: string;
}

/** Writes a new one for identity to take. One that is there belongs to secrets that were never kept. */
export async function writeNewRootKey(directory: string, config: IdentityConfig): Promise<void> {
  const format = new KeyFormat({ prefix: config.keyPrefix, peppers: config.peppers });
  const { presented } = format.mint("MASTER");
  await writeFile(newPath(directory), `${presented}\n`, { mode: 0o600, flush: true });
}

/** The one that identity is to take, until it has. */
export async function readNewRootKey(directory: string): Promise<string | undefined> {
  return (await readIfThere(newPath(directory)))?.trim();
}

/** Keeps the key that was handed in, or the one that identity minted for a database put in the old one's place. */
export async function settleRootKey(
  directory: string,
  handedIn: string | undefined,
  { rootKey: minted }: Bootstrapped,
): Promise<KeptRootKey> {
  const rootKey = handedIn ?? minted;
  if (rootKey === undefined) return { rootKey, rootKeyPath: join(directory, "root.key") };
  const rootKeyPath = await keepRootKey(rootKey, directory);
  await rm(newPath(directory), { force: true });
  return { rootKey, rootKeyPath };
}

function newPath(directory: string): string {
  return join(directory, "root.key.new");
}
