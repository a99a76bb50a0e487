import type { Later, Reply } from "@gatehouse/service";
import { expect, test } from "vitest";
import { allSettled, settled } from "./settled.ts";

interface Said {
  readonly word: string;
}

const later = (word: string): Later<Said> => ({ whenReady: (callback) => callback(undefined, { word }) });
const failing: Later<Said> = { whenReady: (callback) => callback(new Error("broken")) };
const replies: Reply<Said>[] = [{ word: "now" }, Promise.resolve({ word: "soon" }), later("later")];

test("a reply of any kind settles", async () => {
  expect(await Promise.all(replies.map((reply) => settled(reply)))).toEqual(await allSettled(replies));
  await expect(settled(failing)).rejects.toThrow("broken");
  await expect(settled(Promise.reject<Said>(new Error("lost")))).rejects.toThrow("lost");
});

test("many settle in their order, whichever is there first", async () => {
  const words = (await allSettled([...replies].reverse())).map(({ word }) => word);
  expect(words).toEqual(["later", "soon", "now"]);
});

test("many fail with the first that fails", async () => {
  await expect(allSettled([...replies, failing])).rejects.toThrow("broken");
});
