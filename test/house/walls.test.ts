import { describe, expect, test } from "vitest";
import { filesAreNotBins, filesAreShort, mainIsShort, onlyConfigReadsEnvironment } from "./manners.ts";
import { sources } from "./repository.ts";
import {
  domainKnowsOnlyRules,
  importsCanBeRead,
  purePackagesDoNoIo,
  rpcKnowsNoStorage,
  servicesKnowNoOtherService,
  storageKnowsNoTransport,
  type Wall,
} from "./walls.ts";

interface Rule {
  readonly name: string;
  readonly wall: Wall;
  /** Where the offences stand, and each offence: the wall must report every one. */
  readonly at: string;
  readonly offences: readonly string[];
  /** What looks like an offence and is none. */
  readonly innocent: readonly string[];
}

const rules: readonly Rule[] = [
  {
    name: "the domain imports rules only: no transport, database, bus, generated code or other layer",
    wall: domainKnowsOnlyRules,
    at: "services/authz/src/domain/verify.ts",
    offences: [
      `import { Server } from "@grpc/grpc-js";`,
      `import type { HandlerContext } from "@connectrpc/connect";`,
      `import { runLoop } from "@gatehouse/service";`,
      `import {\n  In, // one of several\n  type DataSource,\n} from "typeorm";`,
      `import pg from "pg";`,
      `import { connect } from "nats";`,
      `import type { Key } from "@gatehouse/proto/identity";`,
      `import { keyNode } from "@gatehouse/access/wire";`,
      `import { accessGuard } from "@gatehouse/access/guard";`,
      `import { type Clock, ChangeLog } from "@gatehouse/changefeed";`,
      `import type { Tx as Transaction } from "@gatehouse/changefeed";`,
      `export * from "@gatehouse/changefeed";`,
      `import { authzService } from "../rpc/authz-service.ts";`,
      `import { keyRows } from "../storage/key-row.ts";`,
      `export type { Segment } from "../spool/segment.ts";`,
      `import "../upstream/identity-source.ts";`,
      `import { readFile } from "node:fs/promises";`,
      `const pg = await import("pg");`,
      `type Rows = import("typeorm").DataSource;`,
    ],
    innocent: [
      `import { hash } from "node:crypto";`,
      `import { Failure } from "@gatehouse/service/failure";`,
      `import { type Clock, encodeFreshness as encode } from "@gatehouse/changefeed";`,
      `import type { Limit } from "./limit.ts";`,
      `// import pg from "pg";`,
      `/**\n * import pg from "pg";\n */`,
      `export type Source = "pg" | "nats";`,
    ],
  },
  {
    name: "storage knows no transport",
    wall: storageKnowsNoTransport,
    at: "services/identity/src/storage/key-row.ts",
    offences: [
      `import { keyService } from "../rpc/key-service.ts";`,
      `import { Code } from "@connectrpc/connect";`,
    ],
    innocent: [`import { EntitySchema } from "typeorm";`, `import type { Key } from "../domain/key.ts";`],
  },
  {
    name: "rpc knows no storage",
    wall: rpcKnowsNoStorage,
    at: "services/identity/src/rpc/key-service.ts",
    offences: [
      `import type { KeyRow } from "../storage/key-row.ts";`,
      `import type { DataSource } from "typeorm";`,
    ],
    innocent: [`import { createKey } from "../domain/create-key.ts";`],
  },
  {
    name: "no service or package imports a service; only the stack does",
    wall: servicesKnowNoOtherService,
    at: "services/metering/src/index.ts",
    offences: [
      `import { createIdentity } from "@gatehouse/identity";`,
      `import { Verifier } from "../../authz/src/domain/verify.ts";`,
    ],
    innocent: [
      `import type { KeyState } from "@gatehouse/proto/identity";`,
      `import { lend } from "./domain/lend.ts";`,
    ],
  },
  {
    name: "pure packages do no I/O",
    wall: purePackagesDoNoIo,
    at: "packages/scopes/src/grant.ts",
    offences: [
      `import { readFileSync } from "node:fs";`,
      `import { Failure } from "@gatehouse/service/failure";`,
      `import { rate } from "../../buckets/src/rate.ts";`,
    ],
    innocent: [`import { parseScope } from "./scope.ts";`],
  },
  {
    name: "every import names its module",
    wall: importsCanBeRead,
    at: "services/authz/src/domain/verify.ts",
    offences: [`const hidden = await import(name);`, "const hidden = require(`pg`);"],
    innocent: [`const plain = await import("./limit.ts");`],
  },
  {
    name: "a main is at most 30 lines",
    wall: mainIsShort,
    at: "services/authz/src/main.ts",
    offences: ["wait();\n".repeat(31)],
    innocent: ["wait();\n".repeat(30)],
  },
  {
    name: "a file is at most 350 lines",
    wall: filesAreShort,
    at: "services/authz/src/domain/verify.ts",
    offences: ["wait();\n".repeat(351)],
    innocent: ["wait();\n".repeat(350)],
  },
  {
    name: "a suite is at most 500 lines",
    wall: filesAreShort,
    at: "services/authz/src/domain/verify.test.ts",
    offences: ["wait();\n".repeat(501)],
    innocent: ["wait();\n".repeat(500)],
  },
  {
    name: "only config.ts reads the environment",
    wall: onlyConfigReadsEnvironment,
    at: "services/authz/src/index.ts",
    offences: [`const level = process.env.LEVEL;`, `read(process.env);`, `const { env } = process;`],
    innocent: [`const { pid } = process;`],
  },
  {
    name: "a main hands the environment over whole",
    wall: onlyConfigReadsEnvironment,
    at: "services/authz/src/main.ts",
    offences: [`const level = process.env.LEVEL;`, `const level = process.env["LEVEL"];`],
    innocent: [`const config = readAuthzConfig(process.env);`],
  },
];

describe.each(rules)("$name", ({ wall, at, offences, innocent }) => {
  test("holds everywhere", () => {
    const files = sources();
    expect(files.length).toBeGreaterThan(100);
    expect(files.flatMap(wall)).toEqual([]);
  });

  test.each(offences)("and %j breaks it", (text) => {
    expect(wall({ path: at, text })).toHaveLength(1);
  });

  test.each(innocent)("and %j does not", (text) => {
    expect(wall({ path: at, text })).toEqual([]);
  });
});

describe("files are named after what is in them", () => {
  test("everywhere", () => {
    expect(sources().flatMap(filesAreNotBins)).toEqual([]);
  });

  test.each(["utils.ts", "helpers.test.ts", "types/limit.ts", "common.ts"])("and %j is not", (name) => {
    expect(filesAreNotBins({ path: `services/authz/src/${name}`, text: "" })).toHaveLength(1);
  });
});
