import { dirname, join } from "node:path/posix";
import { type Import, importsOf } from "./imports.ts";

/** A file of the repository: its path from the root, with `/`, and its text. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** A wall: says what is wrong with a file that stands where it should not; empty for all other files. */
export type Wall = (file: SourceFile) => string[];

const SERVICES = ["identity", "authz", "metering"];
const TRANSPORT = [/^@grpc\//, /^@connectrpc\//, /^grpc-health-check$/, /^node:(http|http2|https|net|tls)$/];
const DOMAIN_PACKAGES = [
  "access",
  "buckets",
  "keys",
  "scopes",
  "changefeed",
  "events/webhook",
  "service/failure",
];

/** What of the change feed knows neither database nor bus. */
const CHANGEFEED_PURE = new Set(
  `Bell ChangeRing Clock FeedName FeedSource Follower FollowerOptions Freshness Gates Moment Position Replica
   SharedRead decodeBell decodeFreshness elapsedMs encodeBell encodeFreshness systemClock`.split(/\s+/),
);

/** Pure packages, and the modules outside themselves that they may import. */
const PURE_PACKAGES: Readonly<Record<string, readonly string[]>> = {
  keys: ["node:crypto"],
  scopes: [],
  buckets: [],
};

export const domainKnowsOnlyRules: Wall = (file) => {
  const domain = /^services\/\w+\/src\/domain\//.exec(file.path)?.[0];
  if (domain === undefined || isTest(file)) return [];
  return offending(file, ({ from, names }) => {
    if (isRelative(from)) return !resolved(file, from).startsWith(domain);
    if (from === "@gatehouse/changefeed") return names.some((name) => !CHANGEFEED_PURE.has(name));
    return from !== "node:crypto" && !DOMAIN_PACKAGES.some((name) => from === `@gatehouse/${name}`);
  });
};

export const storageKnowsNoTransport: Wall = (file) => {
  if (!file.path.includes("/src/storage/") || isTest(file)) return [];
  return offending(
    file,
    ({ from }) =>
      matches(from, TRANSPORT) || (isRelative(from) && resolved(file, from).includes("/src/rpc/")),
  );
};

export const rpcKnowsNoStorage: Wall = (file) => {
  if (!file.path.includes("/src/rpc/") || isTest(file)) return [];
  return offending(
    file,
    ({ from }) =>
      from === "typeorm" ||
      from === "pg" ||
      (isRelative(from) && resolved(file, from).includes("/src/storage/")),
  );
};

export const servicesKnowNoOtherService: Wall = (file) => {
  const [, own] = /^services\/(\w+)\//.exec(file.path) ?? [];
  // The stack is what runs them all in one process.
  if ((own === undefined && !file.path.startsWith("packages/")) || file.path.startsWith("packages/stack/")) {
    return [];
  }
  const others = SERVICES.filter((service) => service !== own);
  return offending(file, ({ from }) =>
    others.some((other) =>
      isRelative(from)
        ? resolved(file, from).startsWith(`services/${other}/`)
        : `${from}/`.startsWith(`@gatehouse/${other}/`),
    ),
  );
};

export const purePackagesDoNoIo: Wall = (file) => {
  const [, name = ""] = /^packages\/([\w-]+)\/src\//.exec(file.path) ?? [];
  const allowed = PURE_PACKAGES[name];
  if (allowed === undefined || isTest(file)) return [];
  return offending(file, ({ from }) =>
    isRelative(from) ? !resolved(file, from).startsWith(`packages/${name}/`) : !allowed.includes(from),
  );
};

/** What the walls cannot read they cannot hold. The stack looks its platform's Postgres up by name. */
export const importsCanBeRead: Wall = (file) =>
  file.path.startsWith("packages/stack/") ? [] : offending(file, ({ from }) => from === "");

function offending(file: SourceFile, isOffence: (each: Import) => boolean): string[] {
  return importsOf(file.text)
    .filter(isOffence)
    .map(({ from, names }) => `${file.path} imports { ${names.join(", ")} } from "${from}"`);
}

function isTest(file: SourceFile): boolean {
  return file.path.endsWith(".test.ts");
}

function isRelative(from: string): boolean {
  return from.startsWith(".");
}

function resolved(file: SourceFile, from: string): string {
  return join(dirname(file.path), from);
}

function matches(from: string, patterns: readonly RegExp[]): boolean {
  return patterns.some((pattern) => pattern.test(from));
}
