import { hashSecret } from "@gatehouse/keys";
import { beforeEach, describe, expect, test } from "vitest";
import type { KeyInTree } from "./domain/keys/key.ts";
import { ImportedKeys } from "./imported-keys.ts";

const found = { key: { id: "key_1" } } as KeyInTree;
let nowMs = 0;
/** What there is, and what it was asked for. */
let prefixes: string[];
let credentials: string[];
let asked: string[];

const reads = {
  keys: { find: async () => found },
  imported: {
    async prefixes() {
      asked.push("prefixes");
      return prefixes;
    },
    async find(hashes: readonly string[]) {
      asked.push(...hashes);
      const known = credentials.map(hashSecret);
      return new Map(hashes.filter((hash) => known.includes(hash)).map((hash) => [hash, "key_1"]));
    },
  },
};
const imports = () => new ImportedKeys(reads, () => nowMs);

beforeEach(() => {
  nowMs = 0;
  prefixes = ["pk_"];
  credentials = ["pk_mine"];
  asked = [];
});

describe("a presented credential", () => {
  test("is found by its hash", async () => {
    expect(await imports().find("pk_mine")).toBe(found);
    expect(asked).toEqual(["prefixes", hashSecret("pk_mine")]);
  });

  test("that begins like none costs nothing, whoever asks how often", async () => {
    const keys = imports();
    for (let i = 0; i < 50; i++) expect(await keys.find(`gth_${i}`)).toBeUndefined();
    expect(asked).toEqual(["prefixes"]);
    expect(keys.find("gth_")).toBeUndefined();
  });

  test("that is longer than keys are costs nothing", () => {
    expect(imports().find(`pk_${"x".repeat(1_000_000)}`)).toBeUndefined();
    expect(asked).toEqual([]);
  });

  test("that was nobody's is asked for again a second later", async () => {
    const keys = imports();
    for (let i = 0; i < 5; i++) expect(await keys.find("pk_other")).toBeUndefined();
    expect(asked.filter((hash) => hash === hashSecret("pk_other"))).toHaveLength(1);
    credentials.push("pk_other");
    nowMs = 1000;
    expect(await keys.find("pk_other")).toBe(found);
  });

  test("is asked for at once after a commit of this process, as are the prefixes", async () => {
    const keys = imports();
    await keys.find("pk_other");
    await keys.find("zz_new");
    credentials.push("pk_other", "zz_new");
    prefixes.push("zz_");
    keys.forget();
    expect(await keys.find("pk_other")).toBe(found);
    expect(await keys.find("zz_new")).toBe(found);
  });

  test("of a flood of made-up ones is refused before the database drowns", async () => {
    const keys = imports();
    await keys.find("pk_mine");
    const outcomes = await Promise.allSettled(Array.from({ length: 100 }, (_, i) => keys.find(`pk_${i}`)));
    expect(asked.length).toBe(2 + 8);
    const refused = outcomes.filter(({ status }) => status === "rejected");
    expect(refused).toHaveLength(92);
    expect(refused[0]).toMatchObject({ reason: { reason: "OVERLOADED" } });
    expect(await keys.find("pk_mine")).toBe(found);
  });

  test("is forgotten as nobody's when there are too many", async () => {
    const keys = imports();
    for (let i = 0; i < 10_001; i++) await keys.find(`pk_${i}`);
    await keys.find("pk_0");
    await keys.find("pk_10000");
    expect(asked.filter((hash) => hash === hashSecret("pk_0"))).toHaveLength(2);
    expect(asked.filter((hash) => hash === hashSecret("pk_10000"))).toHaveLength(1);
  });
});
