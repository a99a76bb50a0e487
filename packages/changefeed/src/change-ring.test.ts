import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ChangeRing } from "./change-ring.ts";

const entities = ["a", "b", "c", "d", "e"];
const changes = fc.array(fc.constantFrom(...entities), { maxLength: 40, size: "max" });

describe("the ring of recent changes", () => {
  it("never says unchanged of what changed, however little it holds, at any time", () => {
    fc.assert(
      fc.property(changes, fc.integer({ min: 1, max: 4 }), fc.nat({ max: 5 }), (names, capacity, floor) => {
        const ring = new ChangeRing(capacity, floor);
        const latest = new Map<string, number>();
        for (const [i, changed] of names.entries()) {
          const head = floor + i + 1;
          ring.record(changed, head);
          latest.set(changed, head);
          for (const name of entities) {
            for (let readAt = 0; readAt <= head; readAt++) {
              if ((readAt < floor || (latest.get(name) ?? 0) > readAt) && !ring.changedAfter(name, readAt)) {
                throw new Error(`${name} changed after ${readAt}`);
              }
            }
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  it("says changed only of what changed, while it holds them all", () => {
    fc.assert(
      fc.property(changes, (names) => {
        const ring = new ChangeRing(entities.length, 0);
        const log = names.map((name, i) => ({ name, revision: i + 1 }));
        for (const { name, revision } of log) ring.record(name, revision);
        for (const name of entities) {
          for (let readAt = 0; readAt <= log.length; readAt++) {
            const changed = log.some((change) => change.name === name && change.revision > readAt);
            expect(ring.changedAfter(name, readAt)).toBe(changed);
          }
        }
      }),
    );
  });

  it("counts what it no longer remembers as changed, and remembers as many as it is to hold", () => {
    const ring = new ChangeRing(2, 0);
    for (const [i, name] of ["a", "b", "b", "d", "e"].entries()) {
      ring.record(name, i + 1);
      expect(ring.changedAfter("c", 0), name).toBe(false);
    }
    ring.record("f", 6); // of a, b, d and e the first two are forgotten, the latter at 3
    expect(ring.changedAfter("c", 2)).toBe(true);
    expect(ring.changedAfter("c", 3)).toBe(false);
    expect([ring.changedAfter("d", 3), ring.changedAfter("e", 5)]).toEqual([true, false]);
  });
});
