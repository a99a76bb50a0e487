import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { keepSecrets, newSecrets, readSecrets } from "./secrets.ts";

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "gatehouse-secrets-"));
});
afterEach(() => rm(directory, { recursive: true }));

test("secrets are kept between starts, for the owner's eyes", async () => {
  expect(await readSecrets(directory)).toBeUndefined();
  const secrets = newSecrets();
  await keepSecrets(secrets, directory);
  expect(await readSecrets(directory)).toEqual(secrets);
  expect((await stat(join(directory, "secrets.json"))).mode & 0o777).toBe(0o600);
  await expect(keepSecrets(newSecrets(), directory)).rejects.toThrow("EEXIST");
});

test("a directory from before there were encryption keys gets one, and keeps it and all else", async () => {
  const { encryptionKeys: _, ...before } = newSecrets();
  const path = join(directory, "secrets.json");
  await writeFile(path, JSON.stringify(before));
  // Left by a start that was killed.
  await writeFile(`${path}.new`, "{");
  const secrets = await readSecrets(directory);
  expect(secrets).toMatchObject(before);
  expect(secrets!.encryptionKeys).toMatch(/^1:/);
  expect(JSON.parse(await readFile(path, "utf8"))).toEqual(secrets);
  expect(await readSecrets(directory)).toEqual(secrets);
  expect(await readdir(directory)).toEqual(["secrets.json"]);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});
