/**
 * Lints the protos, checks their format, and checks that the committed generated code is what they generate.
 * Offline: buf and its plugin come from node_modules, and no proto comes from a schema registry.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";

const root = join(import.meta.dirname, "..");
const committed = "packages/proto/src/gen";

/** Paths that are in only one of two directories, or differ between them. */
export function differingFiles(left: string, right: string): string[] {
  const paths = new Set([...filesUnder(left), ...filesUnder(right)]);
  return [...paths].filter((path) => contentOf(join(left, path)) !== contentOf(join(right, path))).sort();
}

function filesUnder(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .map((path) => join(directory, path))
    .filter((path) => statSync(path).isFile())
    .map((path) => relative(directory, path));
}

function contentOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

function buf(...parameters: string[]): boolean {
  // The plugin is found on the PATH; npm puts this directory there, a shell does not.
  const env = { ...process.env, PATH: `${join(root, "node_modules/.bin")}:${process.env.PATH}` };
  const { status, error } = spawnSync("buf", parameters, { cwd: root, stdio: "inherit", env });
  if (error !== undefined) throw error;
  return status === 0;
}

function checkGenerated(): boolean {
  const directory = mkdtempSync(join(tmpdir(), "gatehouse-protos-"));
  try {
    if (!buf("generate", "--output", directory)) return false;
    const differing = differingFiles(join(directory, committed), join(root, committed));
    for (const path of differing) console.error(`${committed}/${path} is not what the protos generate`);
    if (differing.length > 0) console.error("npm run generate, and commit what it changed");
    return differing.length === 0;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

if (import.meta.main) {
  const results = [buf("lint", "proto"), buf("format", "--diff", "--exit-code", "proto"), checkGenerated()];
  if (results.includes(false)) process.exitCode = 1;
}
