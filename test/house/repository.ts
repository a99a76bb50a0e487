import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { SourceFile } from "./walls.ts";

export const repositoryRoot = join(import.meta.dirname, "../..");

/** Every hand-written source of the services and packages. */
export function sources(): SourceFile[] {
  return globSync("{services,packages}/*/{src,test}/**/*.ts", { cwd: repositoryRoot })
    .map((path) => path.replaceAll("\\", "/"))
    .filter((path) => !path.startsWith("packages/proto/src/gen/"))
    .map((path) => ({ path, text: textOf(path) }));
}

/** The text of a file, by its path from the root. */
export function textOf(path: string): string {
  return readFileSync(join(repositoryRoot, path), "utf8");
}
