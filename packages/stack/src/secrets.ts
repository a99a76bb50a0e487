import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { newPepper } from "@gatehouse/keys";
import { readIfThere } from "./read-if-there.ts";

/** What services of one deployment share, kept between starts where only the owner reads it. */
export interface Secrets {
  readonly serviceSecret: string;
  readonly peppers: string;
}

/** Those of this directory; undefined before the first start. */
export async function readSecrets(directory: string): Promise<Secrets | undefined> {
  const text = await readIfThere(secretsPath(directory));
  return text === undefined ? undefined : JSON.parse(text);
}

export function newSecrets(): Secrets {
  return { serviceSecret: randomBytes(32).toString("base64url"), peppers: newPepper("1") };
}

export async function keepSecrets(secrets: Secrets, directory: string): Promise<void> {
  const text = `${JSON.stringify(secrets, null, 2)}\n`;
  await writeFile(secretsPath(directory), text, { mode: 0o600, flag: "wx", flush: true });
}

function secretsPath(directory: string): string {
  return join(directory, "secrets.json");
}
