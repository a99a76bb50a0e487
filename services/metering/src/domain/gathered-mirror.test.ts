import type { KeyView } from "@gatehouse/access";
import { expect, test } from "vitest";
import { GatheredMirror } from "./gathered-mirror.ts";
import type { AccountName, StoredMirror } from "./mirror.ts";

/** A mirror that notes what it is asked, and answers by how often it was. */
function mirrorOf() {
  const asked: unknown[] = [];
  const answer = async (name: unknown) => {
    asked.push(name);
    if (name === "broken") throw new Error("the database is away");
    return { name, read: asked.length } as unknown;
  };
  const mirror = new GatheredMirror({
    findKey: (keyId: string) => answer(keyId) as Promise<KeyView>,
    findChain: (name: AccountName) => answer(name) as Promise<never>,
  } as Partial<StoredMirror> as StoredMirror);
  return { mirror, asked };
}

test("what is looked for in one turn is read once, and again in the next", async () => {
  const { mirror, asked } = mirrorOf();
  const first = await Promise.all([mirror.findKey("a"), mirror.findKey("b"), mirror.findKey("a")]);
  expect(asked).toEqual(["a", "b"]);
  expect(first[2]).toBe(first[0]);
  await mirror.findKey("a");
  expect(asked).toEqual(["a", "b", "a"]);
});

test("who asks after a read began gets another one", async () => {
  const { mirror, asked } = mirrorOf();
  const first = mirror.findKey("a");
  await new Promise((resolve) => setImmediate(resolve));
  const second = mirror.findKey("a");
  expect(await second).not.toBe(await first);
  expect(asked).toEqual(["a", "a"]);
});

test("names of other kinds, and a key and an account, are never one", async () => {
  const { mirror, asked } = mirrorOf();
  const names: AccountName[] = [
    { by: "id", id: "a" },
    { by: "slug", organizationId: "a", slug: "b" },
    { by: "slug", organizationId: "a b", slug: "" },
    { by: "path", organization: "a", subaccount: "b" },
    { by: "path", organization: "a/b", subaccount: undefined },
  ];
  await Promise.all([...names.map((name) => mirror.findChain(name)), mirror.findKey("a")]);
  expect(asked).toHaveLength(names.length + 1);
});

test("a read that fails fails all who share it, and nobody later", async () => {
  const { mirror, asked } = mirrorOf();
  const settled = await Promise.allSettled([mirror.findKey("broken"), mirror.findKey("broken")]);
  expect(settled.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  await expect(mirror.findKey("broken")).rejects.toThrow("away");
  expect(asked).toHaveLength(2);
});
