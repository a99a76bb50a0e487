import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MAX_OF_ONE } from "../src/domain/rules/fair-share.ts";
import type { Store } from "../src/domain/store.ts";
import { reasonOf, type System, startSystem, timely } from "./system.ts";

let system: System;
let held = Promise.resolve();

/** A store whose creates of keys wait for as long as the test likes. */
function slow(store: Store): Store {
  return {
    ...store,
    recordRefusal: (event) => store.recordRefusal(event),
    change: (work) =>
      store.change(async (change) => {
        const value = await work(change);
        await held;
        return value;
      }),
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
    const creates = Array.from({ length: MAX_OF_ONE + 20 }, (_, n) =>
      reasonOf(crowd.keys.createKey({ name: `key ${n}` }, timely)),
    );
    const first = await Promise.race(creates);
    expect(first).toBe("OVERLOADED");
    held = Promise.resolve();
    resolve();
    await other.keys.revokeKey({ key: key!.id }, timely);
    const outcomes = await Promise.all(creates);
    expect(outcomes.filter((outcome) => outcome === "OVERLOADED")).toHaveLength(20);
  });
});
