import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Alert, AlertDirection, AlertSubject } from "./alert.ts";
import { shareOf, step, type WindowState } from "./alert-crossing.ts";

const windowed: AlertSubject = {
  kind: "USAGE",
  meter: "requests",
  window: "DAY",
  timeZone: "UTC",
  descendants: false,
  amount: 1,
};
const balance: AlertSubject = { kind: "BALANCE", currency: "USD", amount: 1 };
const values = fc.array(fc.bigInt(-5n, 5n), { maxLength: 30 });

/** At which of the values something is told; the threshold is 0. */
function toldAt(subject: AlertSubject, direction: AlertDirection, all: readonly bigint[]): number[] {
  const alert: Pick<Alert, "subject" | "direction"> = { subject, direction };
  let state: WindowState | undefined;
  return all.flatMap((value, i) => {
    const next = step(alert, state, { value, threshold: 0n });
    state = next.state;
    return next.isTold ? [i] : [];
  });
}

describe("a threshold is passed", () => {
  test("in a window the first time at or above it, and the first time below it after that", () => {
    fc.assert(
      fc.property(values, (all) => {
        const up = all.findIndex((value) => value >= 0n);
        const down = up < 0 ? -1 : all.findIndex((value, i) => i > up && value < 0n);
        expect(toldAt(windowed, "RISING", all)).toEqual(up < 0 ? [] : [up]);
        expect(toldAt(windowed, "FALLING", all)).toEqual(down < 0 ? [] : [down]);
      }),
    );
  });

  test("by a balance each time that it is on the other side than before", () => {
    fc.assert(
      fc.property(values, (all) => {
        const across = (isUp: boolean) =>
          all.flatMap((value, i) => (i > 0 && value >= 0n === isUp && all[i - 1]! >= 0n !== isUp ? [i] : []));
        expect(toldAt(balance, "RISING", all)).toEqual(across(true));
        expect(toldAt(balance, "FALLING", all)).toEqual(across(false));
      }),
    );
  });

  test("at the least units that are a share of a limit, exactly", () => {
    expect(shareOf(10n, 800_000)).toBe(8n);
    expect(shareOf(10n, 800_001)).toBe(9n);
    expect(shareOf(0n, 500_000)).toBe(1n);
    fc.assert(
      fc.property(
        fc.bigInt(1n, 2n ** 53n),
        fc.integer({ min: 1, max: 100_000_000 }),
        (units, shareMillionths) => {
          const least = shareOf(units, shareMillionths);
          const isReached = (value: bigint) => value * 1_000_000n >= units * BigInt(shareMillionths);
          expect(isReached(least) && (least === 1n || !isReached(least - 1n))).toBe(true);
        },
      ),
    );
  });
});
