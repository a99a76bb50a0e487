import { basename } from "node:path/posix";
import type { SourceFile, Wall } from "./walls.ts";

/** A main is read at a glance: config, create, serve, wait, dispose. */
const MAIN_LINES_MAX = 30;
/** Past this a file does two things. A suite is read by its names, and may list more of them. */
const LINES_MAX = 350;
const SUITE_LINES_MAX = 500;

const BINS = ["utils", "util", "helpers", "helper", "common", "types", "misc"];
/** Named after the proto package gatehouse.common that it exports. */
const NAMED_AFTER_PROTOS = "packages/proto/src/common.ts";

export const mainIsShort: Wall = ({ path, text }) =>
  /^services\/\w+\/src\/main\.ts$/.test(path) && lineCount(text) > MAIN_LINES_MAX
    ? [`${path} has ${lineCount(text)} lines, more than ${MAIN_LINES_MAX}`]
    : [];

export const filesAreShort: Wall = (file) =>
  isShort(file) ? [] : [`${file.path} has ${lineCount(file.text)} lines: what second thing does it do?`];

function isShort({ path, text }: SourceFile): boolean {
  return lineCount(text) <= (path.endsWith(".test.ts") ? SUITE_LINES_MAX : LINES_MAX);
}

/** Only config.ts reads the environment. A main hands it over whole, without looking into it. */
export const onlyConfigReadsEnvironment: Wall = ({ path, text }) => {
  const isExempt =
    basename(path) === "config.ts" || path.startsWith("packages/stack/") || /\/test\/|\.test\.ts$/.test(path);
  if (isExempt) return [];
  const reads =
    basename(path) === "main.ts"
      ? /\bprocess\.env\b(?!\))/
      : /\bprocess\.env\b|\{[^}]*\benv\b[^}]*\} = process\b/;
  return reads.test(text) ? [`${path} reads the environment; only config.ts does`] : [];
};

export const filesAreNotBins: Wall = ({ path }) => {
  if (path === NAMED_AFTER_PROTOS) return [];
  const bin = path
    .split("/")
    .map((segment) => segment.replace(/(\.test)?\.ts$/, ""))
    .find((segment) => BINS.includes(segment));
  return bin === undefined ? [] : [`${path}: "${bin}" says nothing about what is in it`];
};

function lineCount(text: string): number {
  return text.replace(/\n$/, "").split("\n").length;
}
