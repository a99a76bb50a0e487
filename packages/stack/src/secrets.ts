import { randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { newPepper } from "@gatehouse/keys";

/** What services of one deployment share, kept between starts where only the owner reads it. */
export interface Secrets {
  readonly serviceSecret: string;
  readonly peppers: string;
}

export async function keepSecrets(directory: string): Promise<Secrets> {
  await mkdir(directory, { recursive: true, mode: 0o755 });
  const path = join(directory, "secrets.json");
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  const secrets = { serviceSecret: randomBytes(32).toString("base64url"), peppers: newPepper("1") };
  await writeFile(path, `${JSON.stringify(secrets, null, 2)}\n`, { mode: 0o600, flag: "wx" });
  return secrets;
}
