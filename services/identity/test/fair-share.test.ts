import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MAX_OF_ONE } from "../src/domain/rules/fair-share.ts";
import type { Store } from "../src/domain/store.ts";
import { reasonOf, type System, startSystem, timely } from "./system.ts";

let system: System;
let held = Promise.resolve();

/** A store whose changes begin when the test likes. */
function slow(store: Store): Store {
  return {
    ...store,
    recordRefusal: (event) => store.recordRefusal(event),
    change: async (work) => {
      await held;
      return store.change(work);
    },
  };
}

beforeAll(async () => {
  system = await startSystem({ wrapStore: slow });
});
afterAll(() => system?.stop());

describe("a crowd of one organization", () => {
  it("is told to come back, and leaves the others room", async () => {
    const crowd = system.as((await system.root.accounts.createAccount({ name: "Crowd" }, timely)).secret);
    const other = system.as((await system.root.accounts.createAccount({ name: "Other" }, timely)).secret);
    const { key } = await other.keys.createKey({ name: "bot" }, timely);
    const { promise, resolve } = Promise.withResolvers<void>();
    held = promise;
    const outcomes: string[] = [];
    const creates = Array.from({ length: MAX_OF_ONE + 20 }, async (_, n) => {
      outcomes.push(await reasonOf(crowd.keys.createKey({ name: `key ${n}` }, timely)));
    });
    await expect.poll(() => outcomes.length, { timeout: 20_000 }).toBe(20);
    expect(new Set(outcomes)).toEqual(new Set(["OVERLOADED"]));
    held = Promise.resolve();
    await other.keys.revokeKey({ key: key!.id }, timely);
    resolve();
    await Promise.all(creates);
    expect(outcomes.slice(20)).not.toContain("OVERLOADED");
  });
});
