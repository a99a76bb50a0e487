import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type KeyUse, MAX_USES, SeenKeys } from "./activity.ts";

/** Keeps the latest use, as the database does; refuses what it is told to. */
function store() {
  const latest = new Map<string, number>();
  const batches: number[] = [];
  const state = { down: false };
  const record = async (uses: readonly KeyUse[]) => {
    if (state.down) throw new Error("the database is gone");
    batches.push(uses.length);
    for (const { keyId, lastUsedMs } of uses) {
      latest.set(keyId, Math.max(latest.get(keyId) ?? 0, lastUsedMs));
    }
  };
  return { latest, batches, state, record };
}

describe("uses seen here", () => {
  test("are written once a flush for each key, the latest, and none is lost while the database is gone", async () => {
    const step = fc.oneof(
      fc.record({ key: fc.constantFrom("a", "b", "c"), atMs: fc.nat(1000) }),
      fc.constantFrom("flush", "down", "up"),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step), async (steps) => {
        const seen = new SeenKeys();
        const database = store();
        const expected = new Map<string, number>();
        for (const each of steps) {
          if (each === "flush") await seen.flush(database).catch(() => {});
          else if (each === "down" || each === "up") database.state.down = each === "down";
          else {
            seen.saw(each.key, each.atMs);
            expected.set(each.key, Math.max(expected.get(each.key) ?? 0, each.atMs));
          }
        }
        database.state.down = false;
        await seen.flush(database);
        expect(database.latest).toEqual(expected);
      }),
    );
  });

  test("are bounded, and written in batches that are", async () => {
    const seen = new SeenKeys();
    const database = store();
    for (let i = 0; i < 60_000; i++) seen.saw(`key ${i}`, 1);
    seen.saw("key 0", 2);
    await seen.flush(database);
    expect(database.latest.size).toBe(50_000);
    expect(database.latest.get("key 0")).toBe(2);
    expect(Math.max(...database.batches)).toBe(MAX_USES);
    await seen.flush(database);
    expect(database.batches).toHaveLength(50);
  });
});
