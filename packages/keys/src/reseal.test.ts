import { describe, expect, test } from "vitest";
import { reseal, type SealedPlace } from "./reseal.ts";
import { newEncryptionKey, parseEncryptionKey, Sealer } from "./sealer.ts";

const [current, old, gone] = ["2", "1", "0"].map((version) => parseEncryptionKey(newEncryptionKey(version)));
const before = new Sealer([old!]);
const sealer = new Sealer([current!, old!]);
const after = new Sealer([current!]);
const forever = new AbortController().signal;

/** Rows in memory, by id. `reads` counts how often it was asked. */
function place(rows: Map<string, string[]>) {
  const counted = { reads: 0 };
  const at: SealedPlace = {
    name: "table.column",
    async stale(start, afterId, limit) {
      counted.reads++;
      return [...rows]
        .filter(([id, sealed]) => id > afterId && sealed.some((each) => !each.startsWith(start)))
        .sort(([left], [right]) => (left < right ? -1 : 1))
        .slice(0, limit)
        .map(([id, sealed]) => ({ id, sealed }));
    },
    async replace({ id }, sealed) {
      rows.set(id, [...sealed]);
    },
  };
  return Object.assign(at, { counted });
}

const idOf = (n: number) => `key_${String(n).padStart(5, "0")}`;

describe("a walk", () => {
  test("seals every row anew, slice by slice, the current values in it staying as they are", async () => {
    const rows = new Map<string, string[]>();
    for (let n = 0; n < 450; n++) {
      const id = idOf(n);
      rows.set(id, [before.seal(`secret ${n}`, id), after.seal("new", id)]);
    }
    const kept = rows.get(idOf(7))![1];
    const walked = place(rows);
    expect(await reseal(sealer, [walked], forever)).toEqual({ rows: 450, lost: [] });
    expect(walked.counted.reads).toBe(3);
    for (const [id, [first]] of rows) expect(after.open(first!, id)).toBe(`secret ${Number(id.slice(4))}`);
    expect(rows.get(idOf(7))![1]).toBe(kept);
    expect(await reseal(sealer, [walked], forever)).toEqual({ rows: 0, lost: [] });
  });

  test("goes on past what no key opens, and names the first of it", async () => {
    const lost = new Sealer([gone!]);
    const rows = new Map<string, string[]>();
    for (let n = 0; n < 300; n++) rows.set(idOf(n), [lost.seal("x", idOf(n))]);
    rows.set("key_moved", [before.seal("x", "another row")]);
    rows.set("key_z", [before.seal("x", "key_z")]);
    const { rows: sealed, lost: named } = await reseal(sealer, [place(rows)], forever);
    expect(sealed).toBe(1);
    expect(named).toHaveLength(10);
    expect(named[0]).toBe("table.column key_00000");
    expect(after.open(rows.get("key_z")![0]!, "key_z")).toBe("x");
  });

  test("ends when it is told to", async () => {
    const rows = new Map([[idOf(0), [before.seal("x", idOf(0))]]]);
    const walked = place(rows);
    await reseal(sealer, [walked], AbortSignal.abort());
    expect(walked.counted.reads).toBe(0);
  });
});
