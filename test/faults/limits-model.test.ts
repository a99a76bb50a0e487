import { expect, test } from "vitest";
import { admittedWithin, type Charged, overspent, worstExcess } from "./limits-model.ts";

function call(sentMs: number, receivedMs: number, units: number, code: Charged["code"] = "VALID"): Charged {
  const seen = { replica: 0, key: "", stalenessMs: 0, retryAfterMs: undefined, meter: "requests" };
  return { ...seen, sentMs, receivedMs, units, code };
}

test("a call is beyond a quota if what was surely spent before it leaves too little", () => {
  const held = [{ fromMs: 0, units: 10 }];
  expect(overspent([call(0, 1, 6), call(2, 3, 4), call(4, 5, 3, "QUOTA_EXCEEDED")], held)).toBeUndefined();
  expect(overspent([call(0, 1, 6), call(2, 3, 5)], held)?.sentMs).toBe(2);
  // Which of two came first is not known while they overlap.
  expect(overspent([call(0, 4, 6), call(2, 3, 5)], held)).toBeUndefined();
});

test("a limit that was lowered binds once what was lent before is over, one that was raised at once", () => {
  const held = [
    { fromMs: 0, units: 10 },
    { fromMs: 100, units: 5 },
  ];
  expect(overspent([call(0, 1, 5), call(200, 201, 5)], held)).toBeUndefined();
  expect(overspent([call(0, 1, 5), call(60_101, 60_102, 1)], held)?.units).toBe(1);
  expect(
    overspent([call(0, 1, 10), call(101, 102, 5)], [held[0]!, { fromMs: 100, units: 15 }]),
  ).toBeUndefined();
});

test("a window counts the calls that were surely within it", () => {
  const calls = [call(0, 9, 1), call(10, 11, 2), call(18, 19, 4), call(19, 20, 8)];
  expect(admittedWithin(calls, 10, 20)).toBe(6);
});

test("the worst interval is found wherever it is", () => {
  const rate = { units: 1, intervalMs: 1000, burst: 2 };
  const steady = [0, 1000, 2000, 3000].map((atMs) => call(atMs, atMs, 1));
  expect(worstExcess(steady, rate)).toBe(-1);
  expect(worstExcess([...steady, call(2000, 2000, 2)], rate)).toBe(1);
});
