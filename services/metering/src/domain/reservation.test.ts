import fc from "fast-check";
import { expect, test } from "vitest";
import {
  differences,
  finalCost,
  type Reservation,
  type Settlement,
  settles,
  type Units,
} from "./reservation.ts";

const units: fc.Arbitrary<Units> = fc
  .dictionary(fc.constantFrom("requests", "tokens", "images", "bytes"), fc.integer({ min: 0, max: 2 ** 48 }))
  .map((each) => new Map(Object.entries(each)));
const settlement: fc.Arbitrary<Settlement> = fc.oneof(
  fc.record({ kind: fc.constant("COMMITTED"), cost: units, mayExceed: fc.boolean() }),
  fc.constant({ kind: "RELEASED" } as const),
);

test("what is booked besides the estimate makes it the cost, meter by meter, and none of it is nothing", () => {
  fc.assert(
    fc.property(units, settlement, (estimate, settlement) => {
      const cost = finalCost(estimate, settlement);
      const changes = differences(estimate, settlement);
      for (const [meter, total] of cost) {
        expect((estimate.get(meter) ?? 0) + (changes.get(meter) ?? 0)).toBe(total);
        expect(changes.get(meter)).not.toBe(0);
      }
      const mayExceed = settlement.kind === "COMMITTED" && settlement.mayExceed;
      if (!mayExceed) expect([...changes.values()].every((units) => units < 0)).toBe(true);
      expect([...changes.keys()].every((meter) => cost.has(meter))).toBe(true);
      expect([...estimate.keys()].every((meter) => cost.has(meter))).toBe(true);
    }),
  );
});

test("of any settlements at any times the first in time stands, and only the same again is taken", () => {
  const said = fc.array(fc.record({ settlement, nowMs: fc.integer({ min: 0, max: 20 }) }), { minLength: 1 });
  fc.assert(
    fc.property(said, (said) => {
      const open = { decisionId: "dec_1", expiresAtMs: 10, held: undefined, isBooked: false };
      let reservation: Reservation = { ...open, settlement: undefined };
      for (const { settlement, nowMs } of said) {
        const before = reservation.settlement;
        const isSame = before !== undefined && text(before) === text(settlement);
        if (isSame) expect(settles(reservation, settlement, nowMs)).toBe(false);
        else if (before === undefined && nowMs < 10) {
          expect(settles(reservation, settlement, nowMs)).toBe(true);
          reservation = { ...reservation, settlement };
        } else expect(() => settles(reservation, settlement, nowMs)).toThrow(/expired|released|committed/);
      }
    }),
  );
});

function text(settlement: Settlement): string {
  return settlement.kind === "RELEASED" ? "" : JSON.stringify([...settlement.cost].sort());
}
