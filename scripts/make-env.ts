/** Writes .env for docker-compose.yml: deploy/.env.example with a fresh secret wherever it has none. */
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { KeyFormat, newEncryptionKey, newPepper, parsePepper } from "@gatehouse/keys";

const root = join(import.meta.dirname, "..");

/** A template's `NAME=` lines filled in; lines that have a value stay. */
export function fillSecrets(template: string): string {
  const prefix = /^GATEHOUSE_KEY_PREFIX=(.+)$/m.exec(template)?.[1] ?? "gth";
  const pepper = newPepper("1");
  const format = new KeyFormat({ prefix, peppers: [parsePepper(pepper)] });
  const secrets: Readonly<Record<string, string>> = {
    GATEHOUSE_SERVICE_SECRET: randomBytes(32).toString("hex"),
    GATEHOUSE_PEPPERS: pepper,
    GATEHOUSE_ENCRYPTION_KEYS: newEncryptionKey("1"),
    GATEHOUSE_ROOT_KEY: format.mint("MASTER").presented,
    GATEHOUSE_POSTGRES_PASSWORD: password(),
    GATEHOUSE_NATS_PASSWORD: password(),
  };
  return template.replace(/^(\w+)=$/gm, (line, name: string) => `${line}${secrets[name] ?? ""}`);
}

// nats.conf would read a password that looks like a number as one.
function password(): string {
  return `p${randomBytes(24).toString("hex")}`;
}

if (import.meta.main) {
  const template = readFileSync(join(root, "deploy/.env.example"), "utf8");
  const [, ...settings] = fillSecrets(template).split(/\n\n/);
  const text = settings.join("\n\n");
  try {
    // Never over an .env that is there: its secrets are those of a running deployment.
    writeFileSync(join(root, ".env"), text, { mode: 0o600, flag: "wx" });
    console.log("wrote .env with fresh secrets; GATEHOUSE_ROOT_KEY in it is the provider's master key");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    console.error(".env is there already; remove it first, if nothing runs on its secrets any more");
    process.exitCode = 1;
  }
}
