import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { rpcRules } from "../../scripts/permission-table.ts";
import { useSystem } from "../system/use-system.ts";
import { call, methods } from "./call.ts";
import { requests } from "./requests.ts";
import { type Cells, formatMatrix, type Matrix, parseMatrix } from "./table.ts";
import { CALLERS, type CallerName, makeWorld, type World } from "./world.ts";

/** Who may call what: every RPC × every kind of caller, on a real deployment, beside the table in matrix.txt. */

const system = useSystem({ replicas: [{}] });
const expected = parseMatrix(readFileSync(join(import.meta.dirname, "matrix.txt"), "utf8"));
const rules = new Map(
  (await rpcRules()).map((rule) => [`${rule.service.replace("gatehouse.", "")}/${rule.rpc}`, rule]),
);

/** Answers that another organization's key gets: they are about what is its own or everybody's. */
const EVERYBODYS = /\/(WhoAmI|AcceptInvitation|(Get|List)(Plan|Type|Integration|Meter|Api|Terms|Price)s?)$/;

let world: World;
/** RPCs that are in the protos and not served. */
let pending: readonly string[];
let seen: Matrix;
/** What another organization's key was told, by row. */
const toldOther = new Map<string, string>();

beforeAll(async () => {
  world = await makeWorld(system());
  pending = await notServed();
  seen = await ask([...expected.keys()].filter((row) => !pending.includes(rpcOf(row))));
}, 120_000);

function rpcOf(row: string): string {
  return row.split(":")[0]!;
}

async function notServed(): Promise<string[]> {
  const asked = [...methods.keys()].map(async (name) => {
    const caller = rules.get(name)!.caller === "SERVICE" ? "svc" : "root";
    return (await world.call(caller, name, {})).word === "todo" ? [name] : [];
  });
  return (await Promise.all(asked)).flat();
}

async function ask(rows: readonly string[]): Promise<Matrix> {
  const answered = new Map<string, Cells>();
  for (const row of rows) answered.set(row, await askAll(row));
  return answered;
}

async function askAll(row: string): Promise<Cells> {
  const words: Partial<Record<CallerName, string>> = {};
  let body: object | undefined;
  let madeFor: string | undefined;
  for (const caller of CALLERS) {
    // Who stands on the subaccount may be asking about another thing.
    const group = caller === "acct" || caller === "sub" ? "on it" : caller === "root" ? "above" : "others";
    if (body === undefined || madeFor !== group) body = await madeRequest(row, caller);
    madeFor = group;
    const { word, text } = await world.call(caller, rpcOf(row), body);
    words[caller] = word;
    if (caller === "other") toldOther.set(row, text);
    if (word === "ok") body = undefined;
  }
  return words as Cells;
}

async function madeRequest(row: string, caller: CallerName): Promise<object> {
  try {
    return await requests[row]!(world, caller);
  } catch (cause) {
    throw new Error(`the request of ${row} for ${caller} could not be made`, { cause });
  }
}

test("every RPC has a row, and every row a request", () => {
  expect(new Set([...expected.keys()].map(rpcOf))).toEqual(new Set(methods.keys()));
  expect([...rules.keys()].sort()).toEqual([...methods.keys()].sort());
  expect([...expected.keys()].sort()).toEqual(Object.keys(requests).sort());
});

test("every RPC is served", () => {
  expect(pending).toEqual([]);
});

test("everybody gets from every RPC what the table says", () => {
  const served = [...expected].filter(([row]) => seen.has(row));
  expect(formatMatrix(seen)).toBe(formatMatrix(new Map(served)));
});

describe("whatever the table says", () => {
  test("nobody gets anything without a credential, but what anyone may", () => {
    for (const [row, { none }] of seen) {
      expect(none, row).toBe(rules.get(rpcOf(row))!.caller === "ANYONE" ? "ok" : "none");
    }
  });

  test("revoked and disabled keys get nothing", () => {
    for (const [row, { revkd, disab }] of seen) {
      const { caller } = rules.get(rpcOf(row))!;
      if (caller === "ANYONE") continue;
      expect([revkd, disab], row).toEqual(["bad", caller === "SERVICE" ? "bad" : "dis"]);
    }
  });

  test("what services ask of each other is refused to every key, and all else to services", () => {
    for (const [row, { none: _, svc, ...keys }] of seen) {
      const { caller } = rules.get(rpcOf(row))!;
      if (caller === "ANYONE") continue;
      expect(svc === "bad", row).toBe(caller !== "SERVICE");
      if (caller === "SERVICE") expect(new Set(Object.values(keys)), row).toEqual(new Set(["bad"]));
    }
  });

  test("another organization's key is told nothing of this one", () => {
    for (const [row, { other }] of seen) {
      if (other === "ok") expect(row).toMatch(EVERYBODYS);
      for (const id of world.own) {
        if (!row.endsWith("/AcceptInvitation")) expect(toldOther.get(row), row).not.toContain(id);
      }
    }
  });

  test("only the provider's keys get what is the provider's to say", () => {
    for (const [row, cells] of seen) {
      if (rules.get(rpcOf(row))!.caller !== "PROVIDER") continue;
      const { root, verif: _, ...others } = cells;
      expect(root, row).toBe("ok");
      expect(Object.values(others), row).not.toContain("ok");
    }
  });
});

test("a row that says something else is noticed", () => {
  const [row, cells] = [...expected][0]!;
  const altered = new Map(expected).set(row, { ...cells, dev: "ok" });
  expect(formatMatrix(altered)).not.toBe(formatMatrix(expected));
});

test("a key is refused for its scope alone: with the scope it gets what it did not", async () => {
  const body = { account: world.subaccount };
  const name = "identity.v1.KeyService/ListKeys";
  expect((await world.call("dev", name, body)).word).toBe("scope");
  const made = await call(system(), world.secrets.master, "identity.v1.KeyService/CreateKey", {
    name: "reader",
    kind: "KEY_KIND_MASTER",
    scopes: ["gatehouse.keys.read"],
  });
  expect((await call(system(), made.body.secret, name, body)).word).toBe("ok");
});
