import { describe, expect, it } from "vitest";
import { Activity } from "./activity.ts";
import { KeyEntry } from "./entry.ts";
import { FakeIdentity } from "./identity.fixture.ts";

const identity = new FakeIdentity();
const entryOf = (id: string) => new KeyEntry(identity.keyOf({ id }), undefined, [], 1, 0);

describe("what was used", () => {
  it("is reported once a round, with the last use, and not again", async () => {
    const reports: [string, number][][] = [];
    const activity = new Activity(async (uses) => void reports.push([...uses]));
    const [a, b] = [entryOf("key_a"), entryOf("key_b")];
    activity.used(a, 100);
    activity.used(b, 101);
    activity.used(a, 105);
    // The key was changed meanwhile; its entry is another one.
    activity.used(entryOf("key_b"), 103);
    await activity.flush();
    await activity.flush();
    activity.used(a, 200);
    await activity.flush();
    expect(reports).toEqual([
      [
        ["key_a", 105],
        ["key_b", 103],
      ],
      [["key_a", 200]],
    ]);
  });

  it("waits while identity does not take it, and goes in reports of a bounded size", async () => {
    const sizes: number[] = [];
    const seen = new Map<string, number>();
    let up = false;
    const activity = new Activity(async (uses) => {
      if (!up) throw new Error("identity is down");
      sizes.push(uses.size);
      for (const [id, usedAtMs] of uses) seen.set(id, usedAtMs);
    });
    const entries = Array.from({ length: 2500 }, (_, i) => entryOf(`key_${i}`));
    for (const entry of entries) activity.used(entry, 1);
    await expect(activity.flush()).rejects.toThrow("identity is down");
    activity.used(entries[0]!, 2);
    up = true;
    await activity.flush();
    expect([sizes, seen.size, seen.get("key_0")]).toEqual([[1000, 1000, 500], 2500, 2]);
  });
});
