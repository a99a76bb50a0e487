import { randomBytes } from "node:crypto";
import { rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { newEncryptionKey, newPepper } from "@gatehouse/keys";
import { readIfThere } from "./read-if-there.ts";

/** What services of one deployment share, kept between starts where only the owner reads it. */
export interface Secrets {
  readonly serviceSecret: string;
  readonly peppers: string;
  readonly encryptionKeys: string;
}

/** Those of this directory; undefined before the first start. One made before there was some secret gets it. */
export async function readSecrets(directory: string): Promise<Secrets | undefined> {
  const text = await readIfThere(secretsPath(directory));
  if (text === undefined) return undefined;
  const kept: Partial<Secrets> = JSON.parse(text);
  const secrets = { ...newSecrets(), ...kept };
  if (Object.keys(secrets).some((name) => !(name in kept))) await replaceSecrets(secrets, directory);
  return secrets;
}

export function newSecrets(): Secrets {
  return {
    serviceSecret: randomBytes(32).toString("base64url"),
    peppers: newPepper("1"),
    encryptionKeys: newEncryptionKey("1"),
  };
}

export async function keepSecrets(secrets: Secrets, directory: string): Promise<void> {
  await writeSecrets(secretsPath(directory), secrets);
}

/** Whole or not at all: what is there cannot be made again. */
async function replaceSecrets(secrets: Secrets, directory: string): Promise<void> {
  const path = secretsPath(directory);
  await rm(`${path}.new`, { force: true });
  await writeSecrets(`${path}.new`, secrets);
  await rename(`${path}.new`, path);
}

async function writeSecrets(path: string, secrets: Secrets): Promise<void> {
  const text = `${JSON.stringify(secrets, null, 2)}\n`;
  await writeFile(path, text, { mode: 0o600, flag: "wx", flush: true });
}

function secretsPath(directory: string): string {
  return join(directory, "secrets.json");
}
